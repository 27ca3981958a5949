# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""Networks that ship with axynq; see README.md for their model cards."""
