"""The card of a model: what its header says, in Markdown."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from ovito_glassml.files import write_atomically
from ovito_glassml.learn.format import ModelHeader, ResultTable, model_path, read_header, save_model

__all__ = ["render_card", "save_with_card", "table_markdown", "write_card"]


def render_card(header: ModelHeader, name: str) -> str:
    """The card of a model in Markdown, from its header alone.

    Parameters
    ----------
    header : ModelHeader
    name : str
        What to type to use the model.
    """
    training = dict(header.training)
    samples = training.pop("samples", ())
    sections = [
        f"# {name}: {header.title}",
        header.summary,
        "## Input and output",
        _listing(
            {
                "Predicts": f"{_predicted(header)} ({header.output.get('unit', '')})",
                "Species": ", ".join(header.species),
                "Sees an atom's surroundings up to": header.reach,
                "Descriptor": header.descriptor,
                "Estimator": header.architecture,
            }
        ),
        "## Training data",
        _listing({key.replace("_", " ").capitalize(): value for key, value in training.items()}),
        _listing({"Samples": ", ".join(str(sample) for sample in samples)}) if samples else "",
        "## Held-out results" if header.results else "",
        *(table_markdown(table) for table in header.results),
        "## Limits" if header.limits else "",
        "\n".join(f"- {limit}" for limit in header.limits),
        "## References" if header.references else "",
        "\n".join(f"- {reference}" for reference in header.references),
        "## File",
        _listing(
            {
                "Licence": header.licence,
                "Written by": f"ovito-glassml {header.package_version} (format {header.format_version})",
                "SHA-256": f"`{header.sha256}`",
            }
        ),
    ]
    return "\n\n".join(section for section in sections if section) + "\n"


def _predicted(header: ModelHeader) -> str:
    names = (header.output.get(entry) for entry in ("property", "also"))
    return " and ".join(str(name) for name in names if name)


def write_card(name_or_path: str | os.PathLike[str]) -> Path:
    """Write the Markdown card beside a model file and return its path."""
    path = model_path(name_or_path)
    card = path.with_suffix(".md")
    write_atomically(card, render_card(read_header(path), path.stem).encode())
    return card


def save_with_card(path: Path, header: ModelHeader, tensors: Mapping[str, NDArray]) -> Path:
    """Write a model file and its card beside it; return the path of the card."""
    save_model(path, header, tensors)
    return write_card(path)


def table_markdown(table: ResultTable) -> str:
    """A table in Markdown, numbers with three decimals."""
    lines = [f"**{table.title}**", "", _row(table.columns), _row(["---"] * len(table.columns))]
    lines += [_row([_text(value) for value in row]) for row in table.rows]
    if table.note:
        lines += ["", table.note]
    return "\n".join(lines)


def _row(cells: Iterable[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _text(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.3f}"
    return str(value)


def _listing(entries: Mapping[str, Any]) -> str:
    lines = []
    for key, value in entries.items():
        if isinstance(value, Mapping):
            value = ", ".join(f"{name.replace('_', ' ')} {_plain(item)}" for name, item in value.items())
        lines.append(f"- {key}: {_plain(value)}")
    return "\n".join(lines)


def _plain(value: Any) -> str:
    if isinstance(value, list | tuple):
        return ", ".join(_plain(item) for item in value)
    return f"{value:g}" if isinstance(value, float) else str(value)
