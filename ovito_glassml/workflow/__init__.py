"""What joins layers for a user: the demo, sample files, plotting."""
