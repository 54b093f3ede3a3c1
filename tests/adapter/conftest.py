"""Small OVITO data collections to hand to the adapter."""

import numpy as np
import pytest
from ovito.data import DataCollection, ParticleType


def make_data(positions, cell=None, pbc=(True, True, True), origin=(0, 0, 0), types=None, names=None, ids=None):
    """Particles; `names` maps numeric types to names."""
    data = DataCollection()
    if cell is not None:
        data.create_cell(np.column_stack([np.transpose(cell), origin]), pbc=pbc)
    positions = np.asarray(positions, dtype=float).reshape(-1, 3)
    particles = data.create_particles(count=len(positions))
    particles.create_property("Position", data=positions)
    if types is not None:
        property_ = particles.create_property("Particle Type", data=types)
        for number, name in (names or {}).items():
            property_.types.append(ParticleType(id=number, name=name))
    if ids is not None:
        particles.create_property("Particle Identifier", data=ids)
    return data


@pytest.fixture(name="make_data")
def make_data_fixture():
    return make_data
