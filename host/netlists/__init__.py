# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""LUT-level circuits of the multipliers, and what is measured on them."""
