"""Known data sets, each read under canonical names. No other room knows what they are called."""
