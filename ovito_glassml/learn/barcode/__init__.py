"""A glass as a spectrum of unique local environments, and its energy."""
