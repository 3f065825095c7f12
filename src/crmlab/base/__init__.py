"""Customer-base statistics, written once as ibis expressions."""
