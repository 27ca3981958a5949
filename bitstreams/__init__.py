# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""Boards, build scripts, test vectors and built overlays: data for the builders, no Python."""
