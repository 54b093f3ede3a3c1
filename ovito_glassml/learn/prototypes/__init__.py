"""Similarity to prototype environments, and activation energies."""
