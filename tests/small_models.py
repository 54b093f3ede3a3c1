"""Small glasses with a stiffness that is known exactly, and models trained on them."""

import numpy as np
import pytest
from shaken_crystals import crowding, shaken_crystal

from ovito_glassml.learn.prototypes import data as scnn_data
from ovito_glassml.learn.prototypes.data import BarrierSample, describe_samples
from ovito_glassml.learn.prototypes.network import Pass, TrainingSettings
from ovito_glassml.learn.prototypes.train import train_scnn
from ovito_glassml.learn.stiffness.data import BY_SPECIES, PUBLISHED, LabelledSample
from ovito_glassml.learn.stiffness.train import train
from ovito_glassml.neighbours import neighbour_lists

#: Made-up springs: (own species, neighbour's species) → weight of a neighbour at 3 Å.
SPRINGS = {(0, 0): 0.05, (0, 1): 0.12, (1, 0): 0.10, (1, 1): 0.02}


def spring_stiffness(structure):
    """Sum of springs to the neighbours that fade with distance, by species of both ends."""
    lists = neighbour_lists(structure, 6.0)
    centre = np.repeat(np.arange(len(structure)), np.diff(lists.offsets))
    weights = np.array([[SPRINGS[own, other] for other in (0, 1)] for own in (0, 1)])
    spring = weights[structure.species[centre], structure.species[lists.indices]]
    distances = lists.distances.astype(np.float64)
    return 0.2 + np.bincount(centre, spring * np.exp(-(((distances - 3.0) / 0.7) ** 2)), minlength=len(structure))


def labelled(seed):
    structure = shaken_crystal(seed)
    return LabelledSample(structure, spring_stiffness(structure), f"sample-{seed}")


@pytest.fixture(scope="session")
def spring_glasses():
    """Two samples to train on and one to test on."""
    return [labelled(seed) for seed in (1, 2, 3)]


@pytest.fixture(scope="session")
def species_model(spring_glasses):
    return train(spring_glasses[:2], design=BY_SPECIES)


@pytest.fixture(scope="session")
def published_model(spring_glasses):
    return train(spring_glasses[:2], design=PUBLISHED)


#: Enough for three hundred atoms.
BRIEF = TrainingSettings(starts=1, first=Pass(10, 3e-3), cycle=Pass(3, 1e-3), most_cycles=2, dropout=0.3)


@pytest.fixture(scope="session")
def barrier_glasses():
    """Three samples; crowded atoms have a high barrier."""
    samples = [shaken_crystal(seed, repeat=9) for seed in (1, 2, 3)]
    return [BarrierSample(sample, crowding(sample), f"sample-{k}") for k, sample in enumerate(samples, start=1)]


def prototype_model(samples, design):
    """Learned on the first sample, stopped by the second."""
    data = describe_samples(samples, design, learned=[0])
    return train_scnn(data, data.of_samples([0]), data.of_samples([1]), design=design, settings=BRIEF)


@pytest.fixture(scope="session")
def environment_scnn(barrier_glasses):
    return prototype_model(barrier_glasses[:2], scnn_data.ENVIRONMENT)


@pytest.fixture(scope="session")
def bessel_scnn(barrier_glasses):
    return prototype_model(barrier_glasses[:2], scnn_data.PUBLISHED)
