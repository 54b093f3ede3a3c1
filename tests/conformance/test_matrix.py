"""The behaviour matrix itself: it accepts a faultless modifier and finds every fault."""

import inspect

import conformance_heavy
import conformance_mocks
import pytest
from conformance_cases import Case
from conformance_checks import CHECKS

import ovito_glassml
from ovito_glassml import cli

MUTANTS = [
    *conformance_mocks.MUTANTS,
    ("import_is_light", conformance_heavy.HeavyModifier, AssertionError),
]
CHECK = {check.__name__.removeprefix("check_"): check for check in CHECKS}


@pytest.fixture
def run(monkeypatch, tmp_path):
    """Function: put a modifier through one rule."""

    def put_through(rule, modifier):
        monkeypatch.setattr(ovito_glassml, modifier.__name__, modifier, raising=False)
        monkeypatch.setitem(cli.MODIFIERS, "mock", modifier.__name__)
        case = Case("Glass ML: Mock", modifier, "mock")
        check = CHECK[rule]
        check(case, tmp_path) if "folder" in inspect.signature(check).parameters else check(case)

    return put_through


@pytest.mark.parametrize("rule", CHECK)
def test_a_faultless_modifier_passes(rule, run):
    run(rule, conformance_mocks.MockModifier)


@pytest.mark.parametrize(("rule", "modifier", "shows_as"), MUTANTS, ids=lambda item: getattr(item, "__name__", None))
def test_a_fault_is_found(rule, modifier, shows_as, run):
    with pytest.raises(shows_as or pytest.fail.Exception):
        run(rule, modifier)


def test_every_rule_has_a_modifier_that_breaks_it():
    assert {rule for rule, _, _ in MUTANTS} == set(CHECK)
