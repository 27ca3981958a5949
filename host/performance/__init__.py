# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""How many cycles a program takes: the model of the core's loops."""
