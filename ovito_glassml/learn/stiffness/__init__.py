"""Stiffness of every atom from the structure around it."""
