"""Simulation protocols, one a file."""
