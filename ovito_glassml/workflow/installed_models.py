"""The user's own models, installed so that modifiers find them by name and by structure."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from ovito_glassml.errors import GlassMLError
from ovito_glassml.files import appearing, remove_left_overs, sole_writer
from ovito_glassml.learn.card import render_card
from ovito_glassml.learn.format import (
    SUFFIX,
    ModelError,
    ModelHeader,
    installed_folder,
    list_installed,
    list_models,
    model_path,
    read_header,
)
from ovito_glassml.learn.model import load_model

__all__ = ["InstallError", "ListedModel", "add_models", "listed_models", "remove_model"]

#: Seconds in which another process finishes what it installs.
PATIENCE = 10.0


class InstallError(GlassMLError):
    """A model cannot be installed or removed."""


@dataclass(frozen=True)
class ListedModel:
    """A model that has a name.

    Attributes
    ----------
    name : str
    origin : {'shipped', 'installed'}
    header : ModelHeader or None
        None where the file cannot be used; `problem` says why.
    problem : str
    """

    name: str
    origin: str
    header: ModelHeader | None
    problem: str = ""


def listed_models() -> list[ListedModel]:
    """All shipped and then all installed models, broken files among them."""
    named = [(name, "shipped") for name in list_models()] + [(name, "installed") for name in list_installed()]
    listed = []
    for name, origin in named:
        try:
            listed.append(ListedModel(name, origin, read_header(name)))
        except (ModelError, OSError) as error:
            listed.append(ListedModel(name, origin, None, str(error)))
    return listed


def add_models(path: Path, *, replace: bool = False) -> list[str]:
    """Install a model file, or all those in a folder, with their cards; all of them or none.

    Parameters
    ----------
    path : Path
        A ``.safetensors`` file, or a folder that has some itself or in its folder ``models``.
    replace : bool
        Take the place of an installed model of the same name and other content.

    Returns
    -------
    list of str
        Names under which they are found.

    Raises
    ------
    ModelError
        If a file is damaged, of another kind or version.
    InstallError
        If there is no model, its name is taken, or the folder cannot be written.
    BusyError
        If another process is installing models and does not end.
    """
    files = _model_files(path)
    for file in files:
        if (name := file.name.removesuffix(SUFFIX)) in list_models():
            raise InstallError(f"{name} is the name of a model of this package; rename {file}.")
        load_model(file)
    with _writable() as folder:
        contents = {folder / file.name: file.read_bytes() for file in files}
        taken = [target for target, content in contents.items() if _differs(target, content)]
        if taken and not replace:
            raise InstallError(
                f"Another model is installed as {', '.join(target.name.removesuffix(SUFFIX) for target in taken)}; "
                "rename the file, or use --replace."
            )
        for file, (target, content) in zip(files, contents.items(), strict=True):
            _install(file, target, content)
    return [file.name.removesuffix(SUFFIX) for file in files]


def remove_model(name: str) -> None:
    """Remove an installed model and its card.

    Raises
    ------
    InstallError
        If no model of this name is installed, or its file cannot be removed.
    """
    if name in list_models():
        raise InstallError(f"{name} comes with the package and cannot be removed.")
    if name not in list_installed():
        known = ", ".join(list_installed()) or "none"
        raise InstallError(f"No model {name!r} is installed, so it cannot be removed; installed are: {known}.")
    with _writable():
        path = model_path(name)
        path.unlink()
        path.with_suffix(".md").unlink(missing_ok=True)


def _model_files(path: Path) -> list[Path]:
    """The file, or those of a folder."""
    if not path.is_dir():
        if not path.is_file() or path.suffix != SUFFIX or path.name.startswith("."):
            raise InstallError(f"{path} is no {SUFFIX} file and no folder of such files; give one.")
        return [path]
    for folder in (path, path / "models"):
        if files := sorted(file for file in folder.glob(f"*{SUFFIX}") if not file.name.startswith(".")):
            return files
    raise InstallError(f"There is no {SUFFIX} file in {path} or in its folder models; give a folder with models.")


@contextmanager
def _writable() -> Iterator[Path]:
    """The folder of installed models, for one process at a time."""
    folder = installed_folder()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with sole_writer(folder, patience=PATIENCE):
            yield folder
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        remedy = "make room on the disk" if full else "make it writable, or name another in GLASSML_MODELS"
        raise InstallError(f"The folder of models {folder} cannot be changed ({error.strerror}); {remedy}.") from error


def _differs(target: Path, content: bytes) -> bool:
    return target.is_file() and target.read_bytes() != content


def _install(file: Path, target: Path, content: bytes) -> None:
    """Write model and card: what can fail has been written before the first of them appears."""
    card = target.with_suffix(".md")
    for left in (target, card):
        remove_left_overs(left)
    with appearing(card) as text, appearing(target) as model:
        text.write(render_card(read_header(file), target.name.removesuffix(SUFFIX)).encode())
        text.flush()
        os.fsync(text.fileno())
        model.write(content)
