"""Where the data files that come with the package lie."""

from __future__ import annotations

import re
from pathlib import Path

from ovito_glassml.errors import GlassMLError

__all__ = ["SLOWEST_SAMPLE", "STIFFNESS_MODELS", "TEST_SAMPLES", "is_kept_aside", "sample_file", "stiffness_samples"]

#: The default model first.
STIFFNESS_MODELS = ("stiffness-cuzr", "stiffness-cuzr-rdf40")

#: Cooled ten times slower than any glass that a model learns from.
SLOWEST_SAMPLE = "vibrations-cu50zr50-1e11-1"

#: Samples that no shipped model was trained on and no choice was made by, one of each cooling rate.
#: (The first sample, 1e13-1, is the one that the models were developed on.)
TEST_SAMPLES = ("vibrations-cu50zr50-1e13-2", "vibrations-cu50zr50-1e12-1", SLOWEST_SAMPLE)

#: Further ones, as the campaign files say: by seed, rate and composition.
KEPT_ASIDE = re.compile(
    r"-cu(35zr65|64zr36|80zr20)-(1e13-3|1e12-2)|-zr44cu56|sheared-.*-1e12|quench-barriers-"
    r"|-(kob-andersen|wahnstrom)-2e-4-2|-ni62nb38-1e12-2|-aside$",
    re.IGNORECASE,
)

_PACKAGE = Path(__file__).parents[1]


def is_kept_aside(name: str) -> bool:
    """Whether no model of stiffness learns from a sample of this name."""
    return name in TEST_SAMPLES or KEPT_ASIDE.search(name) is not None


def sample_file(name: str) -> Path:
    """Path of a file of `sample_data`, in an installed package or in a checkout.

    Parameters
    ----------
    name : str
        Relative to `sample_data`, such as ``stiffness/vibrations-cu50zr50-1e12-1.xyz.gz``.

    Raises
    ------
    GlassMLError
        If the file is in neither place.
    """
    for folder in (_PACKAGE / "sample_data", _PACKAGE.parent / "sample_data"):
        if (folder / name).is_file():
            return folder / name
    raise GlassMLError(f"The sample file {name} is not installed; run the command in a checkout of the repository.")


def stiffness_samples() -> tuple[list[Path], list[Path]]:
    """Files of the shipped labelled glasses: those for training and those for testing only."""
    testing = [sample_file(f"stiffness/{name}.xyz.gz") for name in TEST_SAMPLES]
    folder = testing[0].parent
    training = [file for file in sorted(folder.glob("vibrations-*.xyz.gz")) if file not in testing]
    return training, testing
