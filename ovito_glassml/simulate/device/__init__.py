"""The engine for one potential in cubic cells on a CUDA device."""
