"""Studies: many models on one set of data, to learn which features matter. Numbers only, no drawing."""
