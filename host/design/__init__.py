"""Finding the array for a network: a search over overlay descriptions under a board's limits."""
