"""From posteriors to what customers, segments and the base are worth."""
