"""The folder of one task of learning: what it was begun with, and where everything lies in it."""

from __future__ import annotations

import json
import os
import shutil
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from ovito_glassml.files import write_atomically
from ovito_glassml.simulate.campaign import Job
from ovito_glassml.workflow.learn.plan import MATERIAL_FILE, LearnError, Sizes, tuples

__all__ = ["Folder", "Request", "read_learn_file"]

#: Of ``learn.toml``.
VERSION = 1
RECORD = "learn.toml"


@dataclass(frozen=True)
class Request:
    """What a user asks for.

    Attributes
    ----------
    material : str
        Fingerprint of the material as it was given.
    methods : tuple of str
    size, budget : str
        One of `SIZES`; or, if there is a budget, what it allows.
    seed : int
    structures : tuple of str
        The user's own glasses.
    labels : str
        Column of labels in them.
    species : str
        Names of unnamed types in them.
    """

    material: str
    methods: tuple[str, ...]
    size: str
    budget: str
    seed: int
    structures: tuple[str, ...] = ()
    labels: str = ""
    species: str = ""


def read_learn_file(file: Path) -> tuple[Request, Sizes | None]:
    """What a ``learn.toml`` says: what was asked for and, once that is known, how much is made.

    Raises
    ------
    LearnError
        If it cannot be read or is of another version.
    """
    try:
        table = tomllib.loads(file.read_text(encoding="utf-8"))
        version = table.get("version")
        if version != VERSION:
            raise LearnError(
                f"{file} is of version {version} and this package reads {VERSION}; use the package that wrote it, or "
                "begin in another folder."
            )
        asked: dict[str, Any] = {entry.name: table["asked"][entry.name] for entry in fields(Request)}
        return Request(**tuples(asked)), Sizes.of(table["sizes"]) if "sizes" in table else None
    except LearnError:
        raise
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, KeyError, TypeError, AttributeError) as error:
        raise LearnError(
            f"{file} is no record of glassml learn ({error}); move it away or begin in another folder."
        ) from error


@dataclass(frozen=True)
class Folder:
    """Where everything lies."""

    path: Path

    @property
    def record(self) -> Path:
        return self.path / RECORD

    @property
    def material(self) -> Path:
        return self.path / MATERIAL_FILE

    @property
    def check(self) -> Path:
        """What the check of the material found."""
        return self.path / "check.json"

    @property
    def campaign(self) -> Path:
        return self.path / "campaign.toml"

    @property
    def data(self) -> Path:
        """Snapshots of the simulations."""
        return self.path / "data"

    @property
    def models(self) -> Path:
        return self.path / "models"

    @property
    def pictures(self) -> Path:
        return self.path / "pictures"

    @property
    def summary(self) -> Path:
        return self.path / "summary.md"

    def scores(self, method: str) -> Path:
        """What training and judging found."""
        return self.models / f".{method}.json"

    def begin(self, request: Request, sizes: Sizes | None) -> Sizes | None:
        """Make the folder, or go on in it; how much is made, if that was settled before.

        Raises
        ------
        LearnError
            If it holds something else, or was begun with another wish.
        """
        self.make()
        if self.record.exists():
            begun, settled = read_learn_file(self.record)
            if settled is not None:
                self._check_same(begun, request)
                return settled
            self._forget(begun, request)
        elif others := sorted(file.name for file in self.path.iterdir() if not file.name.startswith(".")):
            raise LearnError(
                f"The folder {self.path} holds something else ({', '.join(others[:3])}{', …' if others[3:] else ''}); "
                "give a new one with -o."
            )
        self.settle(request, sizes)
        return sizes

    def make(self) -> None:
        """The folder itself.

        Raises
        ------
        LearnError
            If something else is there.
        """
        if self.path.exists() and not self.path.is_dir():
            raise LearnError(f"{self.path} is a file; give a folder with -o.")
        self.path.mkdir(parents=True, exist_ok=True)

    def _forget(self, begun: Request, request: Request) -> None:
        """What a task that had got to no plan has found out about another material or other glasses."""
        if begun.material != request.material:
            self.check.unlink(missing_ok=True)
        if (begun.structures, begun.species) != (request.structures, request.species):
            for file in self.data.glob("own-*.xyz.gz"):
                file.unlink()

    def _check_same(self, begun: Request, request: Request) -> None:
        differing = [
            f"{name} {_shown(before)} and not {_shown(now)}"
            for name, before, now in (
                (entry.name, getattr(begun, entry.name), getattr(request, entry.name)) for entry in fields(Request)
            )
            if before != now
        ]
        if differing:
            raise LearnError(
                f"{self.path} was begun with {', '.join(differing)}; repeat the command that began it, or give another "
                "folder."
            )

    def settle(self, request: Request, sizes: Sizes | None) -> None:
        """Write down what was asked for, and how much is made."""
        lines = [
            "# The record of glassml learn. Repeat all of it in another folder, material.toml beside this file, with:",
            f"# glassml learn {RECORD} -o NEW",
            f"version = {VERSION}",
            "",
            "[asked]",
            *_lines(asdict(request)),
        ]
        if sizes is not None:
            lines += ["", "[sizes]", *_lines(sizes.told())]
        write_atomically(self.record, ("\n".join(lines) + "\n").encode())

    def write_campaign(self, jobs: Sequence[Job]) -> None:
        """A file that ``glassml simulate campaign`` takes as well."""
        text = "# Written by glassml learn; the outputs lie in data.\n" + "".join(map(_job, jobs))
        if not self.campaign.exists() or self.campaign.read_text(encoding="utf-8") != text:
            write_atomically(self.campaign, text.encode())

    def check_room(self, needed: float) -> None:
        """Refuse to begin what would not fit on the disk.

        Raises
        ------
        LearnError
        """
        free = shutil.disk_usage(self.path).free
        if free < needed:
            raise LearnError(
                f"About {needed / 1e6:.0f} MB are needed and the disk of {self.path} has {free / 1e6:.0f} MB left; "
                "free some, or give a folder elsewhere."
            )


def _lines(table: Mapping[str, Any]) -> list[str]:
    """Text, numbers and lists of them are written alike in JSON and TOML."""
    return [f"{key} = {json.dumps(value, ensure_ascii=False)}" for key, value in table.items()]


def _job(job: Job) -> str:
    settings = {
        **({} if job.input and not job.input.endswith(".xyz.gz") else {"material": job.material}),
        **job.settings,
    }
    inner = ", ".join(_lines(settings))
    source = [] if job.input is None else [f"input = {json.dumps(job.input)}"]
    return "\n".join(["", "[[job]]", f'name = "{job.name}"', f'protocol = "{job.protocol}"', *source,
                      f"settings = {{ {inner} }}", ""])  # fmt: skip


def _shown(value: object) -> str:
    if isinstance(value, tuple | list):
        return ", ".join(os.path.basename(str(one)) for one in value) or "none"
    return str(value) or "none"
