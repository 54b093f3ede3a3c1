"""Groups of commands that are imported when they are asked for, so that others start without them."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import typer
from typer.core import TyperGroup

__all__ = ["add_lazily"]


def add_lazily(app: typer.Typer, name: str, module: str, attribute: str, text: str) -> None:
    """Add the group `attribute` of `module` to `app`."""

    class Lazy(TyperGroup):
        loaded: dict[str, Any] | None = None

        @property
        def commands(self) -> Any:
            if self.loaded is None:
                group = getattr(import_module(module), attribute)
                group.rich_markup_mode = app.rich_markup_mode  # otherwise it takes [cluster] for a style and drops it
                self.loaded = dict(typer.main.get_command(group).commands)  # type: ignore[attr-defined]
            return self.loaded

        @commands.setter
        def commands(self, value: Any) -> None:
            """What typer found at first: nothing."""

    app.add_typer(typer.Typer(help=text, no_args_is_help=True, cls=Lazy), name=name)
