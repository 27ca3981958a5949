"""Fitting a network's weights and biases to its approximate multipliers, without retraining."""
