"""Headers of the accelerator as single files, which hls4ml can copy into a design.

hls4ml copies sources one by one into a single folder, where ``#include "axynq/..."`` finds nothing.
So a header goes there with all that it includes, in one file; its text is not written again.
"""

from __future__ import annotations

import re
from importlib import resources
from pathlib import Path

from axynq.emulator import files
from axynq.emulator.toolchain import writable_cache_folder

_INCLUDE = re.compile(r'^#include "axynq/(?P<name>[^"]+)"\n', re.MULTILINE)


def single_file(header: str) -> str:
    """The text of a header of ``hls/include/axynq``, such as ``requantise.hpp``, in which every
    header of that folder that it includes stands in the place of the first ``#include`` of it."""
    seen: set[str] = set()

    def text(name: str) -> str:
        if name in seen:
            return ""
        seen.add(name)
        source = resources.files("axynq.hls") / "include" / "axynq" / name
        content = source.read_text(encoding="utf-8")
        return _INCLUDE.sub(lambda found: text(found["name"]), content)

    return text(header)


def header_file(header: str) -> Path:
    """:func:`single_file` as ``axynq_NAME.h`` in the cache folder.

    Raises:
        ToolError: the cache folder cannot be written.
    """
    path = writable_cache_folder() / "hls4ml" / f"axynq_{Path(header).stem}.h"
    content = single_file(header)
    path.parent.mkdir(exist_ok=True)
    if not path.exists() or path.read_text(encoding="utf-8") != content:
        files.write_text(path, content)
    return path
