# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""Networks from other frameworks, and back into them."""
