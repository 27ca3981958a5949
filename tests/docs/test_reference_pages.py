# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""Pages to look things up in: error messages, file formats, the Python interface."""

from __future__ import annotations

import ast
import importlib
import re
from functools import cache

import pytest

from axynq.host import isa
from axynq.host.runtime import program
from tests.docs.documents import ROOT, document

PACKAGES = ("emulator", "host", "hls4ml_extension")


@cache
def texts() -> tuple[str, ...]:
    """Every text of the sources; what is filled in later is ``…``."""
    found = []
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.JoinedStr):
                    parts = (v.value if isinstance(v, ast.Constant) else "…" for v in node.values)
                    found.append("".join(map(str, parts)))
                elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                    found.append(node.value)
    return tuple(found)


def exists(message: str) -> bool:
    """Whether a text of the sources has the fixed parts of a message, in order."""
    parts = [re.escape(part) for part in message.split("…")]
    pattern = re.compile(".*?".join(parts), re.DOTALL)
    return any(pattern.search(text) for text in texts())


def messages() -> list[str]:
    lines = document("docs/troubleshooting.md").text.splitlines()
    found = [re.match(r"\| `([^`]+)` \|", line) for line in lines]
    return [match[1] for match in found if match]


def test_there_are_messages() -> None:
    assert len(messages()) > 50


@pytest.mark.parametrize("message", messages())
def test_messages_are_in_the_sources(message: str) -> None:
    assert max(map(len, message.split("…"))) >= 10, "too little of it is fixed"
    assert exists(message)


def test_messages_that_are_not_in_the_sources_are_found() -> None:
    assert not exists("the plan says nothing of layer '…', and has no fault")
    assert not exists("and has no default … the plan says nothing of layer")


def test_versions_of_file_formats() -> None:
    formats = dict(re.findall(r"`(axynq-[a-z-]+)`, (\d+)", document("docs/file-formats.md").text))
    sources = {
        path: path.read_text(encoding="utf-8")
        for package in PACKAGES
        for path in (ROOT / package).rglob("*.py")
    }
    declared = {}
    for text in sources.values():
        for name, version in re.findall(
            r'format"?: (?:Literal\[)?"(axynq-[a-z-]+)".{0,40}?version"?: (?:Literal\[)?(\d+)',
            text,
            re.DOTALL,
        ):
            declared[name] = version
    assert formats == declared
    (row,) = re.findall(
        r"`\.axp` \| (\d+); instruction set (\d+)", document("docs/file-formats.md").text
    )
    assert tuple(map(int, row)) == (program._FORMAT, isa.VERSION)


def test_the_plan_of_the_page_is_valid(tmp_path) -> None:
    from axynq.emulator import Plan
    from axynq.emulator.energy import EnergyFigures
    from axynq.host.overlay import Overlay

    plan, energy = document("docs/file-formats.md").blocks("json")
    (tmp_path / "plan.json").write_text(plan, encoding="utf-8")
    assert Plan.load(tmp_path / "plan.json").layers
    (tmp_path / "energy.json").write_text(energy, encoding="utf-8")
    EnergyFigures(tmp_path / "energy.json")
    (overlay,) = document("docs/file-formats.md").blocks("toml")
    (tmp_path / "overlay.toml").write_text(overlay, encoding="utf-8")
    assert Overlay.load(tmp_path / "overlay.toml").hash == Overlay.load("z2-mixed16").hash


@pytest.mark.parametrize("name", ["emulator", "host", "hls4ml"])
def test_public_names_are_described(name: str) -> None:
    if name == "hls4ml":
        pytest.importorskip("hls4ml")
    public = set(importlib.import_module(f"axynq.{name}").__all__) - {"__version__"}
    text = document(f"docs/api/{name}.md").text
    # A function of its module's name has the module before it.
    described = set(re.findall(rf"^::: axynq\.{name}\.(?:\w+\.)?(\w+)$", text, re.MULTILINE))
    assert described - {"errors"} == public
