"""What all commands share: the console, the bar, and errors of use."""

from __future__ import annotations

import glob
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, Task, TaskProgressColumn, TextColumn, TimeRemainingColumn
from rich.text import Text

from ovito_glassml.errors import GlassMLError

console = Console()

#: What a command that is stopped says, by whether it goes on where it was.
_STOPPED = {
    True: "Stopped. The same command goes on from here.",
    False: "Stopped. The same command begins anew; nothing half-written is left.",
}

#: Whether bars are shown, see `without_bars`.
_show_bars = True


class UsageError(GlassMLError):
    """The command line asks for something that does not exist."""


def _bars() -> Progress:
    columns = (
        _Description("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TimeRemainingColumn(elapsed_when_finished=True),
    )
    return Progress(*columns, console=Console(stderr=True), disable=not _show_bars)


@contextmanager
def without_bars() -> Iterator[None]:
    """Show no bars meanwhile."""
    global _show_bars
    before, _show_bars = _show_bars, False
    try:
        yield
    finally:
        _show_bars = before


@contextmanager
def _saying_how_to_go_on(goes_on: bool) -> Iterator[None]:
    try:
        yield
    except KeyboardInterrupt:
        Console(stderr=True).print(_STOPPED[goes_on], highlight=False, soft_wrap=True)
        raise


@contextmanager
def two_bars(text: str) -> Iterator[tuple[Callable[[float, float, str], None], Callable[[str], None]]]:
    """Bars with time left for the whole and its part, of a command that goes on where it was stopped.

    Yields ``update(whole, part, text)``, and what prints a line.
    """
    with _saying_how_to_go_on(True), _bars() as bar:
        whole, part = bar.add_task(text, total=1.0), bar.add_task("", total=1.0)
        begun = ""

        def update(fraction: float, of_part: float, description: str) -> None:
            nonlocal begun
            step = description.split(",")[0].split(":")[0]
            if step != begun:  # its pace says nothing about that of the next
                begun = step
                bar.reset(part)
            bar.update(whole, completed=fraction)
            bar.update(part, completed=of_part, description=description)

        def say(line: str) -> None:
            console.print(line, highlight=False, soft_wrap=True)  # above the bars

        yield update, say
        bar.update(whole, completed=1.0)


@contextmanager
def progress_bar(text: str, *, goes_on: bool = False) -> Iterator[Callable[[float, str], None]]:
    """A bar with time left; yields ``update(fraction, text)``.

    Parameters
    ----------
    text : str
        What is done at first.
    goes_on : bool
        Whether the same command goes on where this one was stopped, which is said then.
    """
    with _saying_how_to_go_on(goes_on), _bars() as bar:
        task = bar.add_task(text, total=1.0)

        def update(fraction: float, description: str = "") -> None:
            bar.update(task, completed=fraction, description=description or text)

        yield update
        bar.update(task, completed=1.0)


class _Description(TextColumn):
    """What is done; compiling, which may take half a minute after installation, is said."""

    def render(self, task: Task) -> Text:
        text = super().render(task)
        # Not imported where nothing is computed, and by another thread perhaps at this moment.
        compiling = getattr(sys.modules.get("ovito_glassml.compile"), "compiling", None)
        if task.finished or compiling is None or not compiling():
            return text
        return text.append(", compiling once")


def matching(patterns: list[str]) -> list[Path]:
    """Files by name or pattern, each once."""
    found: list[Path] = []
    for pattern in patterns:
        matches = [Path(name) for name in sorted(glob.glob(pattern))] or [Path(pattern)]
        if not matches[0].is_file():
            raise UsageError(f"No file matches {pattern}; check the path, and quote patterns.")
        found += [file for file in matches if file not in found]
    return found


def number(text: str, what: str) -> float:
    try:
        return float(text)
    except ValueError as error:
        raise UsageError(f"The {what} {text!r} is no number; give one such as 300.") from error


def frame_range(text: str) -> slice:
    """Frames as a Python slice, or a single one."""
    try:
        parts = [int(part) if part else None for part in text.split(":")]
        if len(parts) == 1:
            return slice(parts[0], None if parts[0] == -1 else parts[0] + 1)  # type: ignore[operator]
        return slice(*parts)
    except (ValueError, TypeError) as error:
        raise UsageError(f"--frames {text!r} is no range; write START:STOP:STEP such as 0:100:10.") from error


def check_output(output: Path, ending: str) -> None:
    """Refuse a file that could not be written before hours are spent on its content."""
    if not output.name.endswith(ending):
        raise UsageError(f"The output {output.name} must end in {ending}; rename it.")
    if not output.parent.is_dir():
        raise UsageError(f"The folder {output.parent} does not exist; create it first.")
