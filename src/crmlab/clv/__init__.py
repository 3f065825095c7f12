"""Customer lifetime value: models, fitting, predictions, validation."""
