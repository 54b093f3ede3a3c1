"""The command that says what works on this machine."""

from __future__ import annotations

import typer
from rich.table import Column, Table

from ovito_glassml.cli.common import console, progress_bar


def doctor() -> None:
    """Say what works on this machine, what does not, and what to do.

    Tries OVITO and its renderer, a prediction, the folders of compiled code and of models, LAMMPS with the potentials
    of the shipped materials, training and Dask. The exit status is 1 if predictions do not work.

    Example: glassml doctor
    """
    from ovito_glassml.workflow.doctor import FAILS, LIMITED, WORKS, examine

    with progress_bar("Looking") as update:
        findings = list(examine(update))
    colours = {WORKS: "green", LIMITED: "yellow", FAILS: "red"}
    table = Table(Column("part", no_wrap=True), Column("state", no_wrap=True), "found", box=None)
    for finding in findings:
        table.add_row(finding.part, f"[{colours[finding.state]}]{finding.state}", finding.found.replace("[", r"\["))
    console.print(table)
    for finding in findings:
        if finding.remedy:
            console.print(f"{finding.part}: {finding.remedy}", highlight=False, markup=False, soft_wrap=True)
    if any(finding.state == FAILS for finding in findings):
        raise typer.Exit(1)
