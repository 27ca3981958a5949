# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""Networks in real numbers, and how they become int8 networks."""
