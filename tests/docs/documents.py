# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""The documents of the repository, taken apart."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]

PATHS = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "models" / "README.md",
    *sorted((ROOT / "docs").rglob("*.md")),
]

FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
CODE = re.compile(r"`+([^`\n]+)`+")


@dataclass(frozen=True)
class Document:
    """A Markdown file."""

    path: Path

    @property
    def name(self) -> str:
        """Relative to the root."""
        return self.path.relative_to(ROOT).as_posix()

    @property
    def text(self) -> str:
        return self.path.read_text(encoding="utf-8")

    @property
    def prose(self) -> str:
        """All but the fenced blocks."""
        return FENCE.sub("", self.text)

    def blocks(self, *languages: str) -> list[str]:
        """Fenced blocks in one of the languages."""
        return [block for language, block in FENCE.findall(self.text) if language in languages]

    def code(self) -> list[str]:
        """What stands in backticks."""
        return CODE.findall(self.prose)

    def links(self) -> list[str]:
        """Targets of links and pictures."""
        return re.findall(r"\]\(([^()\s]+)\)", CODE.sub("", self.prose))

    def new_files(self) -> set[str]:
        """Files that the document has its reader make, relative to the root."""
        return set(re.findall(r"^\*\*`([^`\n]+)`\*\*, a new file", self.text, re.MULTILINE))

    def anchors(self) -> set[str]:
        """The headings, as links name them."""
        headings = re.findall(r"^#+ +(.+)$", self.prose, re.MULTILINE)
        return {re.sub(r"[^\w\- ]", "", h.lower()).replace(" ", "-") for h in headings}

    def commands(self, name: str) -> Iterator[str]:
        """Command lines of a program, in fenced blocks, with lines joined and comments gone."""
        for block in self.blocks("sh"):
            for line in block.replace("\\\n", " ").splitlines():
                line = re.sub(r"(^|\s+)#.*", "", line).strip()
                if line.split(" ")[0] == name:
                    yield line

    def tables(self, heading: str) -> list[list[list[str]]]:
        """The tables below a heading: rows of cells, without the line of dashes."""
        start = re.search(rf"^#+ {re.escape(heading)}$", self.text, re.MULTILINE)
        assert start is not None, f"{self.name} has no heading '{heading}'"
        section = re.split(r"^#", self.text[start.end() :], maxsplit=1, flags=re.MULTILINE)[0]
        found: list[list[list[str]]] = []
        for paragraph in section.split("\n\n"):
            lines = [line for line in paragraph.strip().splitlines() if line.startswith("|")]
            if len(lines) > 2:
                rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
                found.append([rows[0], *rows[2:]])
        return found


DOCUMENTS = [Document(path) for path in PATHS if path.exists()]


def document(name: str) -> Document:
    return Document(ROOT / name)
