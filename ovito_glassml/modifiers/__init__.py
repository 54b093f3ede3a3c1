"""One OVITO modifier per file."""
