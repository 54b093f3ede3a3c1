"""Where the data files that come with the package lie."""

from __future__ import annotations

from pathlib import Path

from ovito_glassml.errors import GlassMLError

__all__ = ["sample_file"]

_PACKAGE = Path(__file__).parent


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
