"""The table of chosen models, on the part of it that takes seconds: glasses of compositions that nobody trained on."""

from ovito_glassml.reproduce.choice_of_models import cases, judge, summary
from ovito_glassml.workflow.sample_data import sample_file

SAMPLES = sample_file("stiffness/vibrations-cu50zr50-1e12-1.xyz.gz").parents[1]


def test_glasses_of_other_compositions_get_the_model_of_their_state():
    """Cu64Zr36 and Cu80Zr20, at rest and after 4 ps at 300 K: the composition does not hide the blur."""
    places = ("stiffness/foreign/vibrations-*", "stiffness/snapshots/300K-vibrations-cu[68]*")
    verdicts = [judge(case) for case in cases(SAMPLES, places=places)]
    assert summary(verdicts) == {
        ("stiffness", "at rest", "kept aside"): (2, 2),
        ("stiffness", "hot", "kept aside"): (2, 2),
    }


def test_what_was_trained_on_is_counted_apart_and_so_is_what_is_no_glass():
    places = ("stiffness/vibrations-*1e13-1", "stiffness/snapshots/*1e13-1", "stiffness/foreign/fcc-cu")
    groups = {judge(case).group for case in cases(SAMPLES, places=places[:2])}
    assert groups == {"trained on"}
    (crystal,) = cases(SAMPLES, places=places[2:])
    assert judge(crystal).group == "no glass"
