# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""Whether an accelerator computes what it should: golden vectors, every product, a soak.

Needs a device, numpy and the compiler in this package; no TFLite and no data.
"""
