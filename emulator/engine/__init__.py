"""Fast accumulators of the layers that multiply."""
