"""Predictions of a withheld period against what happened, and models against each other."""
