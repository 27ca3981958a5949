# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""HLS C++ of the accelerator: data for the builders, no Python."""
