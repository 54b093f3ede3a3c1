"""The page: everything that was collected, in one file that needs no other."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import Any

import ovito

import ovito_glassml
from ovito_glassml.adapter.files import FileError
from ovito_glassml.files import sole_writer, write_atomically
from ovito_glassml.learn.format import ModelError, read_header
from ovito_glassml.progress import Report, silent, span_of
from ovito_glassml.workflow.report.collect import Collected, Refusal, Wishes, collect
from ovito_glassml.workflow.report.differences import comparisons
from ovito_glassml.workflow.report.facts import UNKNOWN_LENGTH
from ovito_glassml.workflow.report.pictures import Camera, gradient
from ovito_glassml.workflow.report.sections import fact_rows, frame_charts, pair_charts, section, summary_rows

__all__ = ["page_of", "write_report"]

TEMPLATE = "report.html.jinja"
#: Share of the time until everything is computed; pictures take the rest.
COMPUTED = 0.6


def write_report(
    files: Sequence[Path | str],
    output: Path,
    wishes: Wishes = Wishes(),
    *,
    compare: bool = False,
    report: Report = silent,
) -> Collected:
    """Write a page about structures: what each is, and what the modifiers say of it.

    Parameters
    ----------
    files : sequence of Path or str
        Anything OVITO reads.
    output : Path
        Appears whole or not at all.
    wishes : Wishes
    compare : bool
        Add what the first file and each other one differ in; of a single file, its first frame and its last.
    report : callable
        Fraction and text.

    Returns
    -------
    Collected
        What stands on the page.

    Raises
    ------
    FileError
        If none of the files can be used, or only one is to be compared.
    BusyError
        If another process writes the same page.
    """
    with sole_writer(output):
        found = collect(files, wishes, span_of(report, 0.0, COMPUTED))
        if compare and len(found.shots) < 2:
            raise FileError("--compare needs two files, or a trajectory, that can be used; give another one.")
        text = page_of(found, wishes, compare=compare, report=span_of(report, COMPUTED, 1.0))
        write_atomically(output, text.encode())
    return found


def page_of(found: Collected, wishes: Wishes, *, compare: bool = False, report: Report = silent) -> str:
    """The text of the page; parameters as for `write_report`."""
    import jinja2  # here, as nothing else needs it

    camera = Camera()
    views = found.views()
    sections = []
    for number, (modifier, view) in enumerate(views):
        report(number / max(len(views), 1), f"drawing {modifier.title.lower()}")
        sections.append(section(found, modifier, view, camera))
    context: dict[str, Any] = {
        "title": _title([shot.name for shot in found.main]),
        "shots": found.main,
        "summary": summary_rows(found),
        "facts": fact_rows(found.main),
        "facts_unit": any(shot.facts.length == UNKNOWN_LENGTH for shot in found.main),
        "missing": _missing(found),
        "pairs": pair_charts(found.main),
        "frame_charts": list(frame_charts(found)),
        "sections": sections,
        "comparisons": comparisons(found, wishes) if compare else [],
        "refusals": _grouped(found.refusals),
        "unread": found.unread,
        "models": _models(found),
        "remark": camera.remark,
        "gradient": gradient(),
        "made_with": f"ovito-glassml {ovito_glassml.__version__} and OVITO {ovito.version_string}",
    }
    source = (resources.files("ovito_glassml.workflow.report") / TEMPLATE).read_text(encoding="utf-8")
    environment = jinja2.Environment(
        autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined
    )
    return environment.from_string(source).render(context)


def _title(names: list[str]) -> str:
    return ", ".join(names) if len(names) < 4 else f"{names[0]} and {len(names) - 1} others"


def _missing(found: Collected) -> list[tuple[str, str, str]]:
    """File, what was not found out, and why."""
    return [
        (shot.title, what, why) for shot in found.main for what, why in shot.facts.missing.items() if what != "state"
    ]


def _grouped(refusals: Sequence[Refusal]) -> list[tuple[str, list[tuple[str, str]]]]:
    """By modifier: sentences with the files they are about."""
    grouped: dict[str, dict[str, list[str]]] = {}
    for one in refusals:
        grouped.setdefault(one.title, {}).setdefault(one.sentence, []).append(one.name)
    return [
        (title, [(", ".join(names), sentence) for sentence, names in sentences.items()])
        for title, sentences in grouped.items()
    ]


def _models(found: Collected) -> list[tuple[str, str, list[str]]]:
    """Every model used: its name, what it learned from, and its references."""
    described: list[tuple[str, str, list[str]]] = []
    for name in dict.fromkeys(str(one.attributes["model"]) for one in found.results if "model" in one.attributes):
        try:
            header = read_header(name)
        except (ModelError, OSError):  # a file of the user's
            described.append((name, "", []))
            continue
        described.append((name, str(header.training.get("how", "")), list(header.references)))
    return described
