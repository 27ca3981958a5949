# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""What a synthesis tool would make of the accelerator's sources: schedule and operators."""
