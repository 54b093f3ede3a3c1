"""LAMMPS protocols that make the training data. Needs the extra `simulate`."""
