"""Search for plans: accuracy against energy."""
