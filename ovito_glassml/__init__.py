"""Machine learning for glasses inside OVITO."""

__version__ = "0.1.0"
