"""Every modifier of the package obeys every rule."""

import inspect

import pytest
from conformance_cases import installed_cases
from conformance_checks import CHECKS, check_import_is_light, check_imports_together_are_light

CASES = installed_cases()
RULES = [check for check in CHECKS if check is not check_import_is_light]


@pytest.mark.parametrize("case", CASES, ids=str)
@pytest.mark.parametrize("check", RULES, ids=lambda check: check.__name__.removeprefix("check_"))
def test_modifier(case, check, tmp_path):
    if "folder" in inspect.signature(check).parameters:
        check(case, tmp_path)
    else:
        check(case)


def test_the_package_imports_without_heavy_libraries():
    check_imports_together_are_light(CASES)


def test_the_package_offers_modifiers():
    assert CASES
