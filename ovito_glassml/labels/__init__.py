"""Targets measured from simulations."""
