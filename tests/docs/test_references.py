# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""Links, anchors, paths and names in the documents exist."""

from __future__ import annotations

import importlib
import re
from functools import cache
from pathlib import Path

import pytest

from tests.docs.documents import DOCUMENTS, ROOT, Document

TOP = (
    "emulator",
    "host",
    "hls",
    "hls4ml_extension",
    "bitstreams",
    "models",
    "tests",
    "docs",
    "examples",
    "benchmarks",
)
SOURCES = (".py", ".hpp", ".cpp", ".toml", ".tcl", ".md", ".svg", ".sh", ".ipynb")
"""Suffixes of files that are the repository's, wherever they are mentioned; others may be a
user's."""

USERS = {
    "my.toml",
    "overlay.toml",
    "deployed/",
    "checkpoints/",
    "settings64.sh",
    "models/mlperf_tiny_resnet8_int8.tflite",
    "models/mlperf_tiny_kws_int8.tflite",
}
"""A user's own files, the vendor's, and third-party data below ``AXYNQ_DATA``."""

every_document = pytest.mark.parametrize("document", DOCUMENTS, ids=lambda d: d.name)


@cache
def repository() -> frozenset[str]:
    """Paths of all files and folders (with ``/`` behind), relative to the root."""
    paths = [path for path in ROOT.iterdir() if path.is_file()]
    for top in TOP:
        paths += [ROOT / top, *(ROOT / top).rglob("*")]
    names = (
        (path.relative_to(ROOT).as_posix() + "/" * path.is_dir())
        for path in paths
        if "__pycache__" not in path.parts
    )
    return frozenset(names)


def pattern(mention: str) -> re.Pattern[str]:
    """A path as written, where ``*`` and ``NAME`` stand for anything."""
    text = re.escape(mention).replace(r"\*", "[^/]*").replace("NAME", "[^/]*")
    anywhere = mention.split("/")[0] not in TOP
    return re.compile(("(.*/)?" if anywhere else "") + text + "/?")


def problem(mention: str) -> str | None:
    """Why what stands in backticks is a path that does not exist, or None."""
    if not re.fullmatch(r"[\w.*/-]+", mention) or mention in USERS or mention[0] in "./":
        return None
    inside = "/" in mention and mention.split("/")[0] in TOP
    folder = bool(re.fullmatch(r"[a-z_]+/", mention))
    if not (inside or folder or mention.endswith(SOURCES)):
        return None
    if any(pattern(mention).fullmatch(name) for name in repository()):
        return None
    return f"there is no {mention}"


@every_document
def test_links_lead_somewhere(document: Document) -> None:
    for link in document.links():
        if re.match(r"[a-z]+:", link):
            continue
        target, _, anchor = link.partition("#")
        path = (document.path.parent / target).resolve() if target else document.path
        assert path.exists(), f"{document.name}: {link}"
        if anchor:
            assert anchor in Document(path).anchors(), f"{document.name}: {link}"


@every_document
def test_paths_exist(document: Document) -> None:
    found = [problem(m) for m in document.code() if m not in document.new_files()]
    assert [reason for reason in found if reason] == []


def test_paths_that_do_not_exist_are_found() -> None:
    for mention in ("host/nowhere.py", "nowhere.hpp", "emulator/nowhere/", "driven.py", "nowhere/"):
        assert problem(mention), mention
    for mention in ("host/runtime/driver.py", "driver.py", "native/*.hpp", "model.tflite", "a/b"):
        assert problem(mention) is None, mention


@every_document
def test_modules_exist(document: Document) -> None:
    made = {f"axynq.{file.removesuffix('.py').replace('/', '.')}" for file in document.new_files()}
    for name in set(re.findall(r"\baxynq(?:\.[A-Za-z_]\w*)+", document.text)) - made:
        parts, value = name.split("."), None
        for count in range(len(parts), 1, -1):
            try:
                value = importlib.import_module(".".join(parts[:count]))
            except ModuleNotFoundError:
                continue
            break
        assert value is not None, f"{document.name}: {name}"
        assert value.__name__ == ".".join(parts[:count]), f"{document.name}: {name} has moved"
        for part in parts[count:]:
            value = getattr(value, part)


def test_every_document_is_linked_from_the_first_pages() -> None:
    first = [document for document in DOCUMENTS if document.name in ("README.md", "docs/index.md")]
    linked = {
        (document.path.parent / link.partition("#")[0]).resolve()
        for document in first
        for link in document.links()
    }
    for path in sorted((ROOT / "docs").rglob("*.md")):
        assert path in linked, path


@every_document
def test_make_targets_exist(document: Document) -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z][\w-]*):", makefile, re.MULTILINE))
    mentions = re.findall(r"(?:`|^|; )make ([a-z][\w-]*)", document.text, re.MULTILINE)
    assert set(mentions) <= targets, document.name


def test_the_citation_names_this_version() -> None:
    def version(file: str, name: str) -> str:
        text = (ROOT / file).read_text(encoding="utf-8")
        found = re.search(rf'^{name}[ =:]+"?([\d.]+)"?$', text, re.MULTILINE)
        assert found is not None, file
        return found[1]

    assert version("CITATION.cff", "version") == version("pyproject.toml", "version")


def test_figures_are_used() -> None:
    used = {
        (document.path.parent / link).resolve()
        for document in DOCUMENTS
        for link in document.links()
    }
    for path in (ROOT / "docs" / "figures").iterdir():
        if path.suffix in (".png", ".svg"):
            assert path in used, path


@pytest.mark.parametrize("name", ["data-flow", "array"])
def test_drawings_are_what_the_script_draws(name: str, tmp_path: Path) -> None:
    """By their words, which stand in comments: outlines differ between versions of matplotlib."""
    pytest.importorskip("matplotlib")
    import runpy

    script = runpy.run_path(str(ROOT / "docs" / "figures" / "draw.py"))
    drawn = {path.stem: path for path in script["draw"](tmp_path)}[name]
    shipped = ROOT / "docs" / "figures" / f"{name}.svg"

    def words(path: Path) -> list[str]:
        return re.findall(r"<!-- (.+?) -->", path.read_text(encoding="utf-8"), re.DOTALL)

    assert words(drawn) == words(shipped), "run `make figures`"
