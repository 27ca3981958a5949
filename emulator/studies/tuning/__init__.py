# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""Fitting a network's weights and biases to its approximate multipliers, without retraining."""
