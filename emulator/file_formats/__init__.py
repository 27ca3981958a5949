# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""Files that hold networks: `.tflite` read and written, and what a file is that is none."""
