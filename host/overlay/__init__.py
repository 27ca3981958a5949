# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""The description of an accelerator and of its board, and what follows from it by name."""

from axynq.host.overlay.description import Overlay, overlay_names

__all__ = ["Overlay", "overlay_names"]
