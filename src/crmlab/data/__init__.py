"""Real and simulated data as canonical tables: schema, intake, data sets."""
