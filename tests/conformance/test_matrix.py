"""The behaviour matrix itself: it accepts a faultless modifier and finds every fault."""

import inspect

import conformance_heavy
import pytest
from conformance_cases import Case
from conformance_checks import CHECKS
from conformance_mocks import MUTANTS as MOCKS
from conformance_mocks import MockModifier, Mutant

from ovito_glassml.modifiers import registry
from ovito_glassml.modifiers.registry import Modifier

MUTANTS = [*MOCKS, Mutant(conformance_heavy.HeavyModifier, "import_is_light", AssertionError, ())]
CHECK = {check.__name__.removeprefix("check_"): check for check in CHECKS}

#: Rules that start other processes, wait or need many atoms.
SLOW = {
    "cancels_quickly",
    "command_line_agrees",
    "generated_code_runs",
    "import_is_light",
    "no_python_loop_over_atoms",
    "results_are_reproducible_bit_by_bit",
    "session_survives_saving",
}


@pytest.fixture
def run(monkeypatch, tmp_path):
    """Function: put a modifier through one rule."""

    def put_through(rule, modifier):
        monkeypatch.setattr(registry, "MODIFIERS", (*registry.MODIFIERS, Modifier("mock", "", "", "", "")))
        monkeypatch.setattr(Modifier, "load", lambda entry: modifier)
        case = Case("Glass ML: Mock", modifier, "mock")
        check = CHECK[rule]
        check(case, tmp_path) if "folder" in inspect.signature(check).parameters else check(case)

    return put_through


@pytest.mark.parametrize("rule", CHECK)
def test_a_faultless_modifier_passes(rule, run):
    run(rule, MockModifier)


@pytest.mark.parametrize("mutant", MUTANTS, ids=str)
def test_a_fault_is_found(mutant, run):
    with pytest.raises(mutant.shows_as):
        run(mutant.rule, mutant.modifier)


@pytest.mark.slow
@pytest.mark.parametrize(
    "mutant", [mutant for mutant in MOCKS if mutant.rule != "constructs_without_arguments"], ids=str
)
def test_a_fault_shows_nowhere_else(mutant, run):
    for rule in CHECK.keys() - SLOW - {mutant.rule, *mutant.also}:
        run(rule, mutant.modifier)


def test_every_rule_has_a_modifier_that_breaks_it():
    assert {mutant.rule for mutant in MUTANTS} == set(CHECK)
