"""Minimising: when it ends."""

import numpy as np
import pytest

from ovito_glassml.simulate.minima import MOST_STEPS, ROUND, minimise


class Instance:
    """Of LAMMPS, as far as minimising asks it, for a glass that gains so much energy in each round."""

    def __init__(self, gains):
        self.energy, self.steps, self.gains = -5000.0, 0, iter(gains)

    def command(self, line):
        if line.startswith("minimize"):
            self.steps += ROUND
            self.energy -= next(self.gains)

    def get_thermo(self, name):
        return self.energy

    def extract_global(self, name):
        return self.steps


@pytest.mark.parametrize(
    ("gains", "rounds"),
    [
        # A glass of 1 000 atoms on a kink of its potential, eV in a thousand steps each: 73 s of a core in all rounds.
        ([1.0, 1.2e-8, 4e-9, 1e-9], 2),
        ([1.0, 1e-4, 1e-5, 1e-6, 1e-9], 5),
        (np.full(100, 1e-3), MOST_STEPS // ROUND),
    ],
)
def test_minimising_goes_on_while_it_gains_energy(gains, rounds):
    instance = Instance(gains)
    minimise(instance, 1e-5)
    assert instance.steps == rounds * ROUND
