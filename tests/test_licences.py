# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""Every source file that is written by hand says whose it is and what its licence is.

Files that are generated have it from their template, where what they say is the project's. The
netlists that ``axynq rtl`` writes do not: they may be of a user's multiplier.
"""

from __future__ import annotations

import itertools
import re
from pathlib import Path

import pytest

from axynq.host.overlay.toml import parse_toml

ROOT = Path(__file__).parents[1]

KINDS = {".py", ".toml", ".sh", ".tcl", ".xdc", ".yaml", ".hpp", ".h", ".cpp", ".c", ".v", ".j2"}
NAMES = ("Makefile", ".ci/run", "constraints.txt", "MANIFEST.in")
FOLDERS = ("benchmarks", "bitstreams", "docs", "emulator", "examples", "hls", "hls4ml_extension",
           "host", "models", "release", "tests")  # fmt: skip
OTHERS = ("hls/rtl/", "tests/fuzz/found/")
"""No sources of the project, by the text above or because they are data."""

HEADER = re.compile(
    r"(#!.*\n)?(#.*coding[:=].*\n)?"
    r"(?P<sign>#|//|\{#) SPDX-License-Identifier: Apache-2\.0"
    r"(\n(?P=sign)|\.) Copyright The axynq maintainers( -#\})?\n"
)


def sources() -> list[str]:
    paths = itertools.chain(
        (ROOT / name for name in NAMES),
        ROOT.glob("*.*"),
        *((ROOT / folder).rglob("*") for folder in FOLDERS),
    )
    names = {path.relative_to(ROOT).as_posix() for path in paths if path.is_file()}
    return sorted(
        name
        for name in names
        if (Path(name).suffix in KINDS or name in NAMES)
        and not name.startswith(OTHERS)
        and "/node_modules/" not in name
    )


def test_every_source_says_its_licence() -> None:
    silent = [
        name for name in sources() if not HEADER.match((ROOT / name).read_text(encoding="utf-8"))
    ]
    assert not silent


@pytest.mark.parametrize(
    "text",
    [
        "# SPDX-License-Identifier: Apache-2.0\n# Copyright The axynq maintainers\n",
        "#!/bin/sh\n# SPDX-License-Identifier: Apache-2.0\n# Copyright The axynq maintainers\n",
        "// SPDX-License-Identifier: Apache-2.0\n// Copyright The axynq maintainers\n",
        "{# SPDX-License-Identifier: Apache-2.0. Copyright The axynq maintainers -#}\n",
    ],
)
def test_headers(text: str) -> None:
    assert HEADER.match(text)
    assert not HEADER.match("\n" + text)
    assert not HEADER.match(text.replace("Apache-2.0", "MIT"))


def test_the_licence_is_the_one_that_is_said() -> None:
    project = parse_toml((ROOT / "pyproject.toml").read_text(encoding="utf-8"), "pyproject.toml")[
        "project"
    ]
    assert project["license"] == "Apache-2.0"
    assert project["license-files"] == ["LICENSE"]
    text = (ROOT / "LICENSE").read_text(encoding="utf-8")
    assert "Apache License" in text
    assert "Version 2.0, January 2004" in text
    assert "license: Apache-2.0" in (ROOT / "CITATION.cff").read_text(encoding="utf-8")
