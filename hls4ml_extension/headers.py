# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""Headers of the accelerator in a single file, so that a project of hls4ml needs no include path.

Their text is taken as it is: what an accelerator computes and what a design computes is one source.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from importlib import resources

_INCLUDE = re.compile(r'^#include "(axynq/[^"]+)"\n', re.MULTILINE)


def inlined(
    path: str, generated: Mapping[str, str] | None = None, seen: set[str] | None = None
) -> str:
    """A header with those that it includes in it, each where it is included first.

    Args:
        path: as it is included, such as ``axynq/requantise.hpp``.
        generated: headers that are not in ``hls/include``, by the path they are included by.
        seen: headers that are there already; those of this one are added.
    """
    generated, seen = generated or {}, set() if seen is None else seen
    if path in seen:
        return ""
    seen.add(path)
    text = generated.get(path)
    if text is None:
        source = resources.files("axynq.hls") / "include" / path
        if not source.is_file():  # behind a condition that never holds here
            return ""
        text = source.read_text(encoding="utf-8")
    return _INCLUDE.sub(lambda match: inlined(match[1], generated, seen), text)
