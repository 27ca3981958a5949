# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""The stand-in for a board: the real pynq in front, the accelerator's C simulation behind."""
