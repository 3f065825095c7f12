"""From a model and a history to a posterior that passed its gate."""
