"""One viewport layer of OVITO per file."""
