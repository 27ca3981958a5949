"""Which layers, filters and channels tolerate an approximate multiplier."""
