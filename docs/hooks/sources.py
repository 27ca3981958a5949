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
        if not (folder / name).exists():
            (folder / name).symlink_to(ROOT / place)


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
        around = markdown[match.start() - 1 : match.start()] + markdown[match.end() :][:1]
        return link(match["open"], match["text"], target, folder, page, config, around == "()")

    return LINK.sub(rewritten, markdown)


def link(
    opening: str,
    text: str,
    target: str,
    folder: str,
    page: Page,
    config: MkDocsConfig,
    in_brackets: bool,
) -> str:
    """A link to ``target``, which is relative to the repository's ``folder``, on ``page``."""
    relative, hash_, anchor = target.partition("#")
    path = posixpath.normpath(posixpath.join(folder, relative))
    pages = {source: name for name, source in ELSEWHERE.items()}
    inside = pages.get(path) or (path[len("docs/") :] if path.startswith("docs/") else None)
    if inside is not None:
        start = posixpath.dirname(page.file.src_uri) or "."
        return f"{opening}{text}]({posixpath.relpath(inside, start)}{hash_}{anchor})"
    if not (ROOT / path).exists():
        log.warning("%s links to '%s', which does not exist", page.file.src_uri, target)
    if config.extra["repository"]:
        return f"{opening}{text}]({config.extra['repository'].rstrip('/')}/blob/HEAD/{path})"
    if f"`{path}`" in text:
        return text
    return f"{text}: `{path}`" if in_brackets else f"{text} (`{path}`)"
