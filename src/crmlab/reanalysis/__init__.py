"""What happened: response, effects, homogeneity, refinement."""
