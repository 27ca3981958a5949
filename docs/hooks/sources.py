# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""Links of the documents, as the site has them.

In the repository pages link to source files, and a few pages lie outside ``docs/``. The site takes
those pages in; a link to any other file of the repository becomes one to where the sources are
published (``extra.repository`` of ``mkdocs.yml``), or, where that is not said, the file's path.
"""

from __future__ import annotations

import logging
import posixpath
import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

log = logging.getLogger("mkdocs.hooks.sources")

ROOT = Path(__file__).parents[2]

ELSEWHERE = {"contributing.md": "CONTRIBUTING.md", "models.md": "models/README.md"}
"""Pages of the site that lie outside ``docs/``, by their names there."""

PACKAGES = {"emulator": "emulator", "host": "host", "hls4ml": "hls4ml_extension"}
"""Where the packages' modules lie."""

LINK = re.compile(
    r"^ *```.*?^ *```$|(?P<ticks>`+)[^`].*?(?P=ticks)|(?P<open>!?\[)(?P<text>(?:[^\[\]`]|`[^`]*`)*)"
    r"\]\((?P<target>[^()\s]+)\)",
    re.MULTILINE | re.DOTALL,
)
"""A link; fenced blocks and code, in which there are none, match too, without a target."""


def on_startup(**_: object) -> None:
    """Lay the packages out under the names they are imported by, for mkdocstrings to find them."""
    folder = ROOT / "build" / "typing" / "axynq"
    folder.mkdir(parents=True, exist_ok=True)
    for name, place in PACKAGES.items():
        link, target = folder / name, ROOT / place
        if link.is_symlink() and link.resolve() != target:
            link.unlink()
        if not link.exists():
            link.symlink_to(target)


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that lie elsewhere."""
    for name, source in ELSEWHERE.items():
        files.append(File.generated(config, name, content=(ROOT / source).read_text("utf-8")))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Rewrite links that lead out of ``docs/``."""
    uri = page.file.src_uri
    folder = posixpath.dirname(ELSEWHERE.get(uri, f"docs/{uri}"))

    def rewritten(match: re.Match[str]) -> str:
        target = match["target"]
        if target is None or target.startswith("#") or re.match(r"[a-z]+:", target):
            return match[0]
        relative, hash_, anchor = target.partition("#")
        path = posixpath.normpath(posixpath.join(folder, relative))
        inside = page_of(path)
        if inside is not None:
            address = posixpath.relpath(inside, posixpath.dirname(uri) or ".")
            return f"{match['open']}{match['text']}]({address}{hash_}{anchor})"
        if not (ROOT / path).exists():
            log.warning("%s links to '%s', which does not exist", uri, target)
        if config.extra["repository"]:
            address = address_of(path, config.extra["repository"])
            return f"{match['open']}{match['text']}]({address}{hash_}{anchor})"
        around = markdown[match.start() - 1 : match.start()] + markdown[match.end() :][:1]
        return named(match["text"], path, in_brackets=around == "()")

    return LINK.sub(rewritten, markdown)


def page_of(path: str) -> str | None:
    """The page of the site that a file of the repository is, or None."""
    if path.startswith("docs/"):
        return path.removeprefix("docs/")
    return next((name for name, source in ELSEWHERE.items() if source == path), None)


def address_of(path: str, repository: str) -> str:
    """Where a file or folder of the repository is shown."""
    kind = "tree" if (ROOT / path).is_dir() else "blob"
    return f"{repository.rstrip('/')}/{kind}/HEAD/{path}"


def named(text: str, path: str, in_brackets: bool) -> str:
    """The text of a link with the path that it stands for."""
    if f"`{path}`" in text:
        return text
    return f"{text}: `{path}`" if in_brackets else f"{text} (`{path}`)"
