# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""The documentation as a site: it builds strictly, stands alone, and can be read at any width."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest

from tests.browser import browser
from tests.docs.documents import DOCUMENTS, ROOT

pytestmark = pytest.mark.slow
for needed in ("mkdocs", "material", "mkdocstrings_handlers.python"):
    pytest.importorskip(needed, reason="the site needs the extra docs")


def build(configuration: Path, target: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "mkdocs", "build", "--strict",
               "--config-file", str(configuration), "--site-dir", str(target)]  # fmt: skip
    environment = os.environ | {"NO_MKDOCS_2_WARNING": "1", "AXYNQ_REPOSITORY": ""}
    return subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("site")
    built = build(ROOT / "mkdocs.yml", target)
    # Pages that are in no navigation, links and anchors that lead nowhere: all of them end it.
    assert built.returncode == 0, built.stdout + built.stderr
    return target


class Page(HTMLParser):
    """What a page loads, and its links."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.loaded: list[str] = []
        self.links: list[str] = []
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        if tag in ("script", "img", "iframe", "source"):
            self.loaded.append(values.get("src") or "")
        elif tag == "link":
            self.loaded.append(values.get("href") or "")
        elif tag == "a":
            self.links.append(values.get("href") or "")


def pages(site: Path) -> list[Path]:
    return sorted(site.rglob("*.html"))


def test_every_document_is_a_page(site: Path) -> None:
    for document in (ROOT / "docs").rglob("*.md"):
        name = document.relative_to(ROOT / "docs").with_suffix(".html")
        assert (site / name).is_file(), name
    for name in ("models.html", "contributing.html"):
        assert (site / name).is_file(), name


def test_pages_load_nothing_from_elsewhere(site: Path) -> None:
    for page in pages(site):
        outside = [link for link in Page(page).loaded if re.match(r"(?:[a-z]+:)?//", link)]
        assert outside == [], page.name
    for style in site.rglob("*.css"):
        text = style.read_text(encoding="utf-8")
        assert not re.search(r"url\([\"']?(?:https?:)?//|@import", text), style.name


def test_links_to_sources_do_not_leave_the_site(site: Path) -> None:
    """Where nobody says where the sources are published, a source is named by its path."""
    for page in pages(site):
        for link in Page(page).links:
            if not link or re.match(r"#|[a-z]+:", link) or page.name == "404.html":
                continue
            target = (page.parent / link.partition("#")[0]).resolve()
            assert target.exists(), f"{page.name}: {link}"
    assert "benchmarks/latency/results.json" in (site / "emulator.html").read_text("utf-8")


def test_all_commands_are_described(site: Path) -> None:
    from axynq.host.cli.commands import ENTRIES

    text = (site / "commands.html").read_text(encoding="utf-8")
    for command in ENTRIES:
        assert f'<h2 id="{command}">' in text
    assert "--rounds" in text
    assert "default: 16; 1 ≤ x ≤ 65536" in text
    prose = re.sub(r"<pre>.*?</pre>", "", text, flags=re.DOTALL)
    for mark in (r"\<", r"\[", r"\|", "&amp;lt;"):
        assert mark not in prose
    for name in ("emulator", "host", "hls4ml"):
        interface = (site / "api" / f"{name}.html").read_text(encoding="utf-8")
        assert "doc-symbol-module" not in interface, name
    assert "programs taking turns" in text


class Lists(HTMLParser):
    """How many items of lists lie within other lists."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.depth = self.inner = 0
        text = path.read_text(encoding="utf-8")
        self.feed(text[text.index("<article") : text.index("</article")])

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.depth += tag in ("ul", "ol")
        self.inner += tag == "li" and self.depth > 1

    def handle_endtag(self, tag: str) -> None:
        self.depth -= tag in ("ul", "ol")


def test_markdown_means_what_it_means_on_a_git_host(site: Path) -> None:
    """Lists within lists, and bars in code in tables."""
    nested = 0
    for document in DOCUMENTS:
        if document.path.parent == ROOT / "docs":
            inner = len(re.findall(r"^ {2,}(?:[-*]|\d+\.) ", document.prose, re.MULTILINE))
            page = site / document.path.with_suffix(".html").name
            assert Lists(page).inner == inner, document.name
            nested += inner
    assert nested > 0
    plans = (site / "plans.html").read_text(encoding="utf-8")
    assert "<code>flam=M1|M2|…</code>" in plans


def test_broken_links_fail(tmp_path: Path) -> None:
    """On a small site with the same settings and hooks."""
    docs = tmp_path / "docs"
    docs.mkdir()
    settings = (ROOT / "mkdocs.yml").read_text(encoding="utf-8").partition("\nnav:")[0]
    settings = re.sub(r"  - mkdocstrings:\n(?:   .*\n)*", "", settings)
    settings = settings.replace("docs/hooks/", f"{ROOT}/docs/hooks/")
    settings = re.sub(r"extra_css:.*\n", "", settings)
    (tmp_path / "mkdocs.yml").write_text(settings, encoding="utf-8")
    broken = ("nowhere.md", "index.md#nowhere", "../benchmarks/nowhere.json")
    links = "\n".join(f"[gone]({link})" for link in broken)
    (docs / "index.md").write_text(f"# Page\n\n{links}\n", encoding="utf-8")
    built = build(tmp_path / "mkdocs.yml", tmp_path / "site")
    warnings = [line for line in built.stderr.splitlines() if "WARNING" in line]
    assert built.returncode != 0
    for link in broken:
        name = link.removeprefix("..").removeprefix("index.md")
        assert any(name.strip("/") in line for line in warnings), built.stderr


@pytest.mark.parametrize("width", [1280, 400])
def test_pages_fit_a_browser(site: Path, width: int) -> None:
    with browser() as running:
        page = running.new_page(viewport={"width": width, "height": 900})
        messages: list[str] = []
        page.on("console", lambda message: messages.append(message.text))
        page.on("pageerror", lambda error: messages.append(str(error)))
        for name in ("index", "accelerator", "api/emulator"):
            page.goto((site / f"{name}.html").as_uri())
            page.wait_for_load_state("networkidle")
            wide, room = page.evaluate(
                "[document.documentElement.scrollWidth, document.documentElement.clientWidth]"
            )
            assert wide <= room, f"{name} is {wide} wide"
        if width == 1280:  # opened as a file, where browsers refuse workers
            page.wait_for_timeout(500)  # what is typed before the search listens is lost
            page.fill(".md-search__input", "")
            page.locator(".md-search__input").press_sequentially("requantisers", delay=50)
            page.wait_for_selector(".md-search-result__item", timeout=120_000)
        assert messages == []
