# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""What a board needs to run programs, with numpy, pydantic and pynq alone."""
