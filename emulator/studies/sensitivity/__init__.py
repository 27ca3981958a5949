# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""Which layers, filters and channels tolerate an approximate multiplier."""
