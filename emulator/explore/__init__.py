"""Which multiplier where: sensitivity of a network's parts, and the search for good plans."""
