# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""Networks: the typed graph, and reading and writing ``.tflite`` files."""
