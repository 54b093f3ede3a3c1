"""``python -m ovito_glassml`` is ``glassml``."""

from ovito_glassml.cli import main

main()
