# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""From a network under a plan to a program for an overlay."""

from axynq.host.compiler.compilation import compile_program

__all__ = ["compile_program"]
