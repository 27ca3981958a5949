# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""What a release is made and checked with; no part of the package."""
