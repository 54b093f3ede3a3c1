"""Estimators on descriptor rows and the format of model files."""
