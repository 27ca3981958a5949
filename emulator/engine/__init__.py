# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""Fast accumulators of the layers that multiply."""
