"""Common-neighbour sub-clusters, largest standard clusters and their labels."""
