"""Every modifier on small structures at random: no crash, no value missing without reason, and no point of view.

``GLASSML_EXAMPLES=1000 pytest tests/conformance/test_random_structures.py`` hunts for longer, with new structures
every time.
"""

import os

import numpy as np
import pytest
from conformance_cases import installed_cases, undefined, written
from conformance_checks import assert_counted, assert_same, outcome
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from ovito.data import DataCollection
from random_structures import doubled, samples, seen_differently, strange_samples, without

EXAMPLES = int(os.environ.get("GLASSML_EXAMPLES", "0"))
CASES = installed_cases()

#: Parameters that make other descriptors than the defaults.
VARIANTS = {
    "RDFDescriptorsModifier": [{"partial": True}],
    "BesselDescriptorsModifier": [{"shells": 0, "n_max": 3, "l_max": 4}],
    "SOAPDescriptorsModifier": [{"rbf": "gto", "n_max": 4, "l_max": 3}],
    "ACEDescriptorsModifier": [{"purified": False, "cutoff": 5.0, "degree": 7.0}],
    "PredictedStiffnessModifier": [{"model": "stiffness-cuzr-rdf40"}],
    "PrototypeSimilarityModifier": [{"model": "scnn-cuzr-264"}],
    "NonaffineActivityModifier": [{"affine_mapping": "ToReference", "cutoff": 4.0}],
    "LaSCAModifier": [{"stop": "no obtuse triangle"}],
}
PAIRS = [(case, chosen) for case in CASES for chosen in ({}, *VARIANTS.get(case.modifier.__name__, []))]
NAMES = [f"{case}-{'-'.join(chosen)}".rstrip("-") for case, chosen in PAIRS]
every_modifier = pytest.mark.parametrize(("case", "chosen"), PAIRS, ids=NAMES)


def examples(number):
    """So many of each kind, always the same; or as many as are asked for, which are new."""
    return settings(
        max_examples=EXAMPLES or number,
        derandomize=not EXAMPLES,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )


few, very_few = examples(20), examples(5)


def result(case, chosen, sample):
    """What the modifier computes, or the clear error; it is told a density where there is no cell."""
    needs_density = case.has("number_density") and sample.cell is None
    return outcome(case.make(**chosen | ({"number_density": 0.05} if needs_density else {})), sample)


def neighbours(sample, cutoff, frame=0):
    """Vectors to the neighbours of every atom, found by trying all images."""
    images = np.zeros((1, 3))
    if sample.cell is not None:
        heights = 1 / np.linalg.norm(np.linalg.inv(sample.cell), axis=0)
        reach = np.where(sample.pbc, np.ceil(cutoff / heights) + 2, 0).astype(int)
        images = np.stack(np.meshgrid(*[np.arange(-n, n + 1) for n in reach], indexing="ij"), -1).reshape(-1, 3)
        images = images @ sample.cell
    positions = sample.positions[frame]
    if sample.cell is not None:
        fractions = positions @ np.linalg.inv(sample.cell)
        positions = positions - np.where(sample.pbc, np.floor(fractions), 0) @ sample.cell
    vectors = (positions[None, :, None] + images - positions[:, None, None]).reshape(len(positions), -1, 3)
    lengths = np.linalg.norm(vectors, axis=2)
    return [row[(length < cutoff) & (length > 1e-12)] for row, length in zip(vectors, lengths, strict=True)]


def rounding(case):
    """By how much results may differ, of the largest: rows are in single precision.

    Prototype networks divide rows by what hardly varies in glasses, which blows up their rounding a hundredfold.
    """
    return 1e-3 if case.modifier.__name__ == "PrototypeSimilarityModifier" else 1e-5


def may_lack_a_value(case, chosen, sample, data):
    """Atoms for which the documentation of a modifier says that there can be no value."""
    name = case.modifier.__name__
    if name == "BesselDescriptorsModifier":
        return np.array([len(found) == 0 for found in neighbours(sample, case.make(**chosen).cutoff)])
    if name == "PrototypeSimilarityModifier":
        return np.array([len(found) == 0 for found in neighbours(sample, 5.0)])
    if name == "LaSCAModifier":
        return np.array([len(found) == 0 for found in neighbours(sample, data.attributes["LaSCA.max_cutoff"])])
    if name == "NonaffineActivityModifier":
        around = neighbours(sample, case.make(**chosen).cutoff)
        return np.array([len(found) < 4 or np.linalg.matrix_rank(found, 1e-5) < 3 for found in around])
    if name == "PredictedStiffnessModifier":
        nearest = 2.0 if chosen else 0.0
        return np.array([(np.linalg.norm(found, axis=1) < nearest).all() for found in neighbours(sample, 10.0)])
    if name == "PredictedActivityModifier":
        alone = np.array([len(found) == 0 for found in neighbours(sample, 8.1)])
        return alone | ~case.answers_for(sample)
    if name == "AtomicStiffnessModifier":
        motion = sample.positions - sample.positions[0]
        return (np.abs(motion - motion.mean(axis=1, keepdims=True)) < 1e-12).all(axis=(0, 2))
    return ~case.answers_for(sample)


@every_modifier
@few
@given(sample=samples() | samples(ordered=True))
def test_every_atom_has_a_value_or_a_reason(case, chosen, sample):
    data = result(case, chosen, sample)
    if not isinstance(data, DataCollection):
        return
    if case.compares:  # of few atoms of a kind there are no correlations
        return
    assert_counted(case, data)
    lacking = may_lack_a_value(case, chosen, sample, data)
    for name, values in written(data).items():
        assert len(values) == len(sample.kinds)
        # An atom like none of the environments has no class, and a sample of such atoms no energy.
        unlike = np.asarray(data.particles["ULE"]) < 0 if case.may_lack(name) else np.False_
        assert not (undefined(values) & ~lacking & ~unlike).any(), f"{name} has atoms without value"
        assert values.dtype.kind != "f" or not np.isinf(values).any(), f"{name} is infinite"


@every_modifier
@few
@given(sample=samples(), seed=st.integers(0, 2**32 - 1))
def test_nothing_depends_on_how_it_is_looked_at(case, chosen, sample, seed):
    """Rotation, translation, order, periodic images, choice of cell vectors, numbers of types."""
    other, order = seen_differently(sample, seed)
    first, second = result(case, chosen, sample), result(case, chosen, other)
    if not isinstance(first, DataCollection):
        assert not isinstance(second, DataCollection)
        return
    here = {name: values[order] for name, values in written(first).items()}
    assert_same(here, written(second), rtol=rounding(case))


@every_modifier
@few
@given(sample=samples().filter(lambda sample: any(sample.pbc)))
def test_two_cells_are_the_same_material(case, chosen, sample):
    if case.command == "harmonic":  # two cells have room for longer waves, which move their atoms further
        return
    first, second = result(case, chosen, sample), result(case, chosen, doubled(sample))
    if not isinstance(first, DataCollection):
        assert not isinstance(second, DataCollection)
        return
    count = len(sample.kinds)
    assert_same(written(first), {name: values[:count] for name, values in written(second).items()}, rtol=rounding(case))


@every_modifier
@very_few
@given(sample=strange_samples())
def test_other_materials_end_in_values_or_in_one_sentence(case, chosen, sample):
    """Three and four species, silica, Lennard-Jones units, layers, slabs, wires, clusters."""
    data = result(case, chosen, sample)
    if not isinstance(data, DataCollection):
        assert "\n" not in str(data)
        return
    if case.compares:
        return
    assert_counted(case, data)
    for name, values in written(data).items():
        assert len(values) == len(sample.kinds)
        assert values.dtype.kind != "f" or not np.isinf(values).any(), f"{name} is infinite"
        if name.endswith("Extrapolation"):
            assert not (values < 0).any()


@every_modifier
@very_few
@given(sample=strange_samples(named=True), seed=st.integers(0, 2**32 - 1))
def test_other_materials_look_alike_from_everywhere(case, chosen, sample, seed):
    other, order = seen_differently(sample, seed)
    first, second = result(case, chosen, sample), result(case, chosen, other)
    if not isinstance(first, DataCollection):
        assert type(first) is type(second)
        return
    here = {name: values[order] for name, values in written(first).items()}
    assert_same(here, written(second), rtol=rounding(case))


@every_modifier
@very_few
@given(sample=strange_samples(named=True).filter(lambda sample: len(set(sample.kinds)) > 1), data=st.data())
def test_a_species_may_be_missing_in_some_frames(case, chosen, sample, data):
    """Columns stay the same, and rows are those of the frame alone."""
    kind = data.draw(st.sampled_from(sorted(set(sample.kinds.tolist()))))
    missing = data.draw(st.sets(st.integers(0, len(sample.positions) - 1), min_size=1))
    declared = data.draw(st.booleans()) or {0, len(sample.positions) - 1} <= missing
    frames = [
        without(frame, kind, declared=declared) if number in missing else frame
        for number, frame in enumerate(sample.frames())
    ]
    columns = {}
    for number, frame in enumerate(frames):
        found = outcome(case.make(**chosen), frames, number)
        if not isinstance(found, DataCollection) or case.compares:
            continue
        assert_counted(case, found)
        for name, values in written(found).items():
            assert len(values) == frame.particles.count
            assert columns.setdefault(name, values.shape[1:]) == values.shape[1:], f"{name} changes its columns"
        if not case.needs_trajectory and declared:
            assert_same(written(outcome(case.make(**chosen), [frame])), written(found))
