"""From a material to trained models: what is simulated, learned, judged and told."""
