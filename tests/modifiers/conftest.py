"""Structures as OVITO data."""

import numpy as np
import pytest
from ovito.data import DataCollection, ParticleType
from ovito.pipeline import Pipeline, PipelineSourceInterface, PythonSource


@pytest.fixture(scope="session")
def as_data():
    """Function: a data collection that holds a `Structure`, with named types numbered from 1."""

    def convert(structure):
        data = DataCollection()
        if structure.cell is not None:
            data.create_cell(np.column_stack([structure.cell.T, structure.origin]), pbc=structure.pbc)
        particles = data.create_particles(count=len(structure))
        particles.create_property("Position", data=structure.positions)
        particles.create_property("Particle Identifier", data=structure.ids)
        types = particles.create_property("Particle Type", data=structure.species + 1)
        for number, name in enumerate(structure.species_names, start=1):
            types.types.append(ParticleType(id=number, name=name))
        return data

    return convert


class Frames(PipelineSourceInterface):
    """A trajectory in memory."""

    def __init__(self, frames):
        super().__init__()
        self.frames = frames

    def compute_trajectory_length(self, **kwargs):
        return len(self.frames)

    def create(self, data, *, frame, **kwargs):
        data.objects.clear()
        for item in self.frames[frame].objects:
            data.objects.append(item)


@pytest.fixture(scope="session")
def as_pipeline():
    """Function: a pipeline over a list of data collections."""
    return lambda frames: Pipeline(source=PythonSource(delegate=Frames(list(frames))))
