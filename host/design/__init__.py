# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""Finding the array for a network: a search over overlay descriptions under a board's limits."""
