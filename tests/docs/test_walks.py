# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""The walks of docs/extending.md, followed step by step in a copy of the source tree."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.docs.documents import ROOT, document

PACKAGES = {"emulator": "emulator", "host": "host", "bitstreams": "bitstreams", "hls": "hls",
            "models": "models", "hls4ml": "hls4ml_extension"}  # fmt: skip
"""Names in the package axynq, and folders."""

_BLOCK = re.compile(
    r"(?:^\*\*`(?P<file>[^`]+)`\*\*[^\n]*\n\n)?^```(?P<language>\w+)\n(?P<text>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)


@dataclass(frozen=True)
class Step:
    """A fenced block: a new file, changes of one, or commands."""

    file: str | None
    language: str
    text: str

    def follow(self, tree: Path) -> subprocess.CompletedProcess[str] | None:
        """Do in the copy what the block says; the end of its first command that fails."""
        if self.language == "sh":
            return _ended(self.text, tree)
        assert self.file is not None, f"a block has no file: {self.text}"
        path = tree / self.file
        if self.language == "diff":
            path.write_text(changed(path.read_text(encoding="utf-8"), self.text), encoding="utf-8")
        else:
            assert not path.exists(), f"{self.file} is not new"
            path.write_text(self.text, encoding="utf-8")
        return None


def walk(heading: str) -> list[Step]:
    """The steps below a heading of the page."""
    text = document("docs/extending.md").text
    (section,) = re.findall(rf"^## {heading}\n(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL)
    return [Step(m["file"], m["language"], m["text"]) for m in _BLOCK.finditer(section)]


def changed(content: str, difference: str) -> str:
    """A file's content after changes, each of which names lines that are there exactly once."""
    for hunk in re.split(r"^@@\n", difference, flags=re.MULTILINE):
        lines = hunk.splitlines()
        before = "".join(line[1:] + "\n" for line in lines if not line.startswith("+"))
        after = "".join(line[1:] + "\n" for line in lines if not line.startswith("-"))
        assert f"\n{content}".count(f"\n{before}") == 1, f"not there exactly once:\n{before}"
        content = f"\n{content}".replace(f"\n{before}", f"\n{after}")[1:]
    return content


def _ended(commands: str, tree: Path) -> subprocess.CompletedProcess[str] | None:
    here = Path(sys.executable).parent
    environment = {
        **os.environ,
        "PATH": f"{here}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(tree / "site"),
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    for command in commands.replace("\\\n", " ").splitlines():
        ended = subprocess.run(
            ["sh", "-c", command], cwd=tree, env=environment, capture_output=True, text=True
        )
        if ended.returncode:
            return ended
    return None


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A copy of what the walks need of the source tree, from which Python imports axynq."""
    copy = tmp_path / "axynq"
    left_out = shutil.ignore_patterns("__pycache__")
    for folder in (*PACKAGES.values(), "tests"):
        shutil.copytree(ROOT / folder, copy / folder, ignore=left_out)
    for file in ("pyproject.toml", "constraints.txt", "Makefile"):
        shutil.copy2(ROOT / file, copy)
    docs = copy / "docs"
    shutil.copytree(ROOT / "docs", docs, ignore=shutil.ignore_patterns("*.svg", "*.png"))
    packages = copy / "site" / "axynq"
    packages.mkdir(parents=True)
    for name, folder in PACKAGES.items():
        (packages / name).symlink_to(copy / folder)
    # `make` finds everything set up.
    (copy / ".venv" / "bin").mkdir(parents=True)
    python = copy / ".venv" / "bin" / "python"
    python.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} "$@"\n')
    python.chmod(0o755)
    for mark in (".dev", ".demo"):
        (copy / ".venv" / mark).touch()
    return copy


def follow(steps: Sequence[Step], tree: Path) -> subprocess.CompletedProcess[str] | None:
    for step in steps:
        ended = step.follow(tree)
        if ended is not None:
            return ended
    return None


WALKS = ("A multiplier family", "An operator", "A board")


@pytest.mark.slow
@pytest.mark.parametrize("heading", WALKS)
def test_walks(heading: str, tree: Path) -> None:
    steps = walk(heading)
    assert steps[-1].language == "sh"
    ended = follow(steps, tree)
    assert ended is None, f"{ended.args}:\n{ended.stdout[-3000:]}\n{ended.stderr[-3000:]}"


def needed(heading: str) -> list[object]:
    """Each step but the commands and the tests, whose lack the commands must notice."""
    steps = walk(heading)
    return [
        pytest.param(heading, k, id=f"{heading}-{step.file}")
        for k, step in enumerate(steps)
        if step.file is not None and not step.file.startswith("tests/")
    ]


@pytest.mark.thorough
@pytest.mark.parametrize(("heading", "left_out"), [p for h in WALKS for p in needed(h)])
def test_every_step_is_needed(heading: str, left_out: int, tree: Path) -> None:
    steps = walk(heading)
    del steps[left_out]
    try:
        ended = follow(steps, tree)
    except (AssertionError, FileNotFoundError):  # what a later step changes is not there
        return
    assert ended is not None


def test_changes_are_refused_that_do_not_fit() -> None:
    assert changed("a\nb\nc\n", " a\n+x\n@@\n-c\n+d\n") == "a\nx\nb\nd\n"
    for difference in (" z\n+x\n", "+x\n c c\n", " a\n+x\n"):
        with pytest.raises(AssertionError, match="exactly once"):
            changed("a\nb\na\nb\n", difference)
