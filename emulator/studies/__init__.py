# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""What uses the emulator: sensitivity, search, tuning, error statistics, retraining."""
