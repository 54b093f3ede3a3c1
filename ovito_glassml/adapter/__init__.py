"""The only package that touches OVITO data and calls OVITO's own modifiers."""
