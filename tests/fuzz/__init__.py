# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""Fuzzing of everything that reads what users give: ``python -m tests.fuzz``."""
