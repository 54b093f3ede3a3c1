"""Kernels and the descriptor families built from them."""
