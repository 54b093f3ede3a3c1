"""The table of chosen models, on the part of it that takes seconds: glasses that nobody trained on."""

from ovito_glassml.reproduce.choice_of_models import cases, judge, summary
from ovito_glassml.workflow.sample_data import sample_file

SAMPLES = sample_file("stiffness/vibrations-cu50zr50-1e12-1.xyz.gz").parents[1]


def test_glasses_of_every_composition_get_the_model_of_their_state():
    """35 to 80 % copper, at rest and after 4 ps at 300 K: the composition does not hide the blur."""
    places = ("second/quench-cu*-1e13-3", "stiffness/snapshots/300K-harmonic-cu*-1e13-3")
    places += ("stiffness/vibrations-cu50zr50-1e11-1", "stiffness/snapshots/300K-vibrations-cu50zr50-1e11-1")
    verdicts = [judge(case) for case in cases(SAMPLES, places=places)]
    assert summary(verdicts) == {
        ("stiffness", "at rest", "kept aside"): (4, 4),
        ("stiffness", "hot", "kept aside"): (4, 4),
    }


def test_what_was_trained_on_is_counted_apart_and_so_is_what_is_no_glass():
    places = ("stiffness/vibrations-*1e13-1", "stiffness/snapshots/*cu50zr50-1e13-1", "stiffness/foreign/fcc-cu")
    groups = {judge(case).group for case in cases(SAMPLES, places=places[:2])}
    assert groups == {"trained on"}
    (crystal,) = cases(SAMPLES, places=places[2:])
    assert judge(crystal).group == "no glass"
