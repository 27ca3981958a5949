# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""Libraries that are compiled at first use: which one is used, and what to do where none can be."""

from __future__ import annotations

import multiprocessing
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from axynq.emulator import toolchain
from axynq.emulator.errors import ToolError
from axynq.emulator.toolchain import (
    compiler,
    load_library,
    shared_library,
    writable_cache_folder,
)


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "cache"
    monkeypatch.setenv("AXYNQ_CACHE", str(folder))
    monkeypatch.delenv("CXX", raising=False)
    return folder


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "answer.cpp"
    path.write_text('#include "number.hpp"\nextern "C" int answer() { return NUMBER; }\n')
    return path


def library(source: Path, number: int = 42, **options: Any) -> Path:
    header = {"number.hpp": f"#define NUMBER {number}\n"}
    return shared_library("answer", [source], ["-O1"], generated=header, **options)


def answer(path: Path) -> int:
    return int(load_library(path).answer())


def files(cache: Path) -> list[str]:
    return sorted(path.name for path in cache.iterdir())


def test_what_goes_in_names_it(cache: Path, source: Path) -> None:
    first = library(source)
    assert answer(first) == 42
    assert library(source) == first
    assert library(source, folders=["-I/nowhere"]) == first  # where folders are does not matter
    other = library(source, 7)
    assert answer(other) == 7
    assert files(cache) == sorted([first.name, other.name])  # and nothing besides


def test_without_a_compiler_the_cache_is_used(cache: Path, source: Path, monkeypatch) -> None:
    built = library(source)
    monkeypatch.setenv("PATH", "/nowhere")
    assert library(source) == built
    with pytest.raises(ToolError, match=r"no C\+\+ compiler: install g\+\+ .*nor is answer in"):
        library(source, 7)


def test_compilers_with_arguments(cache: Path, source: Path, tmp_path: Path, monkeypatch) -> None:
    found = compiler()
    wrapper = tmp_path / "with space" / "wrap"
    wrapper.parent.mkdir()
    wrapper.write_text(f'#!/bin/sh\necho "$1" >> {tmp_path}/log\nexec "$@"\n')
    wrapper.chmod(0o755)
    monkeypatch.setenv("CXX", f"'{wrapper}' {found[0]} -DOTHER")
    assert compiler() == [str(wrapper), found[0], "-DOTHER"]
    assert answer(library(source)) == 42
    assert found[0] in (tmp_path / "log").read_text().split()
    monkeypatch.setenv("CXX", "")
    assert compiler() == found


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("/nowhere/g++", "CXX=/nowhere/g.. names a compiler that is not there"),
        ("clang+++ -stdlib=libc++", "names a compiler that is not there"),
        ("'g++", "cannot be read as a command"),
    ],
)
def test_a_compiler_that_is_not_there(
    cache: Path, source: Path, monkeypatch, value: str, message: str
) -> None:
    monkeypatch.setenv("CXX", value)
    with pytest.raises(ToolError, match=message):
        library(source)


def test_what_is_made_for_this_processor_is_not_used_on_another(
    cache: Path, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def built() -> Path:
        header = {"number.hpp": "#define NUMBER 42\n"}
        return shared_library("answer", [source], ["-O1", "-march=native"], generated=header)

    here = built()
    assert answer(here) == 42
    assert built() == here
    monkeypatch.setattr(toolchain, "processor_lines", lambda: ["flags : of another"])
    assert built() != here


def test_caches_of_macos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AXYNQ_CACHE", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(sys, "platform", "darwin")
    assert toolchain.cache_folder() == tmp_path / "Library" / "Caches" / "axynq"
    assert (tmp_path / "Library" / "Caches" / "axynq").is_dir()


def test_no_compiler_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CXX", raising=False)
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(ToolError, match=r"no C\+\+ compiler: install g\+\+"):
        compiler()


@pytest.mark.parametrize("length", [0, 10, 5000])
def test_a_library_that_was_cut_off(cache: Path, source: Path, monkeypatch, length: int) -> None:
    """It is compiled again; and never loaded, which could end the process."""
    built = library(source)
    content = built.read_bytes()
    built.write_bytes(content[:length])
    with monkeypatch.context() as patch:
        patch.setenv("PATH", "/nowhere")
        with pytest.raises(ToolError, match="no C\\+\\+ compiler"):
            library(source)
    assert answer(library(source)) == 42
    assert len(files(cache)) == 1


def test_a_library_that_does_not_load(tmp_path: Path) -> None:
    path = tmp_path / "a.so"
    path.write_bytes(b"of another machine")
    with pytest.raises(ToolError, match="does not load .* delete it"):
        load_library(path)


@pytest.fixture
def read_only(source: Path, monkeypatch) -> Iterator[Path]:
    """A cache that holds a library and cannot be written, not even by root."""
    folder = Path(tempfile.mkdtemp())
    monkeypatch.setenv("AXYNQ_CACHE", str(folder))
    monkeypatch.delenv("CXX", raising=False)
    library(source)
    root = os.geteuid() == 0
    paths = [folder, *folder.iterdir(), *source.parents, source]
    modes = [(path, path.stat().st_mode) for path in paths]
    for path, mode in modes:
        path.chmod(mode & ~0o222 | 0o555 if path.is_relative_to(folder) else mode | 0o555)
    if root:
        os.seteuid(65534)
    yield folder
    if root:
        os.seteuid(0)
    for path, mode in modes:
        path.chmod(mode)
    shutil.rmtree(folder)


def test_a_cache_that_cannot_be_written(read_only: Path, source: Path, monkeypatch) -> None:
    assert answer(library(source)) == 42
    with pytest.raises(ToolError, match="cannot be written .* set AXYNQ_CACHE to another"):
        library(source, 7)
    with pytest.raises(ToolError, match="cannot be written"):
        writable_cache_folder()
    monkeypatch.setenv("CXX", f"{compiler()[0]} -DOTHER")  # what is there is good enough
    assert answer(library(source)) == 42


@pytest.mark.parametrize("folder", ["/proc", "/proc/nowhere", "/dev/null/cache"])
def test_a_cache_that_cannot_be(source: Path, monkeypatch, folder: str) -> None:
    monkeypatch.setenv("AXYNQ_CACHE", folder)
    monkeypatch.delenv("CXX", raising=False)
    with pytest.raises(ToolError, match=f"cache folder '{folder}' cannot be written"):
        library(source)


def _answer(source: Path) -> int:
    return answer(library(source))


def test_many_at_once(cache: Path, source: Path) -> None:
    with multiprocessing.get_context("fork").Pool(3) as pool:
        assert pool.map(_answer, 6 * [source]) == 6 * [42]
    with ThreadPoolExecutor(4) as threads:
        assert list(threads.map(_answer, 8 * [source])) == 8 * [42]
    assert len(files(cache)) == 1


def test_what_another_process_built_stays_there(cache: Path, source: Path, monkeypatch) -> None:
    """Two build at a time; the second to finish does not take away what the first may load."""
    path = library(source)
    find, replace = toolchain._find, os.replace
    monkeypatch.setattr(toolchain, "_find", lambda *_: None)  # it began before the first was there

    def replaced(built: Path, target: Path) -> None:
        assert path.exists()
        replace(built, target)

    monkeypatch.setattr(toolchain.os, "replace", replaced)
    assert library(source) == path == find(cache, path.stem.rpartition("-")[0])
