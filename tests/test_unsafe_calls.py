# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""What runs or writes whatever a file says is used nowhere; exceptions are listed, with why."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

FOLDERS = ("emulator", "host", "hls4ml_extension", "examples", "benchmarks", "docs", "release")

EXCEPTIONS = {
    # CIFAR-10 ships pickles. An unpickler that knows numpy's arrays alone reads them.
    ("emulator/datasets.py", "import pickle"),
}

MODULES = {
    **dict.fromkeys(("pickle", "dill", "cloudpickle", "marshal", "shelve", "joblib"),
                    "runs what a file says"),
    **dict.fromkeys(("urllib.request", "http.client", "requests", "httpx", "ftplib", "wget"),
                    "nothing is downloaded; if it ever is, then with a checksum"),
}  # fmt: skip

CALLS = {
    "eval": "runs what a text says",
    "exec": "runs what a text says",
    "os.system": "a shell",
    "os.popen": "a shell",
    "subprocess.getoutput": "a shell",
    "subprocess.getstatusoutput": "a shell",
    "asyncio.create_subprocess_shell": "a shell",
    "tempfile.mktemp": "a name that somebody else may take",
    "yaml.load": "runs what a file says",
    "torch.jit.load": "runs what a file says",
}


def complaints(tree: ast.AST) -> Iterator[str]:
    """What is unsafe in a module."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (f"import {a.name}" for a in node.names if a.name in MODULES)
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            names = {node.module, *(f"{node.module}.{each.name}" for each in node.names)}
            yield from (f"import {name}" for name in sorted(names & MODULES.keys()))
        elif isinstance(node, ast.Call):
            yield from of_call(ast.unparse(node.func), node)


def of_call(name: str, call: ast.Call) -> Iterator[str]:
    given = {each.arg: ast.unparse(each.value) for each in call.keywords}
    if name in CALLS:
        yield f"{name}: {CALLS[name]}"
    if given.get("shell", "False") != "False":
        yield f"{name}: a shell"
    if name.startswith("subprocess.") and call.args:
        first = call.args[0]
        if isinstance(first, ast.JoinedStr) or (
            isinstance(first, ast.Constant) and isinstance(first.value, str)
        ):
            yield f"{name}: a command as one text"
    if name.endswith(("np.load", "numpy.load")) and given.get("allow_pickle", "False") != "False":
        yield f"{name}: pickles in arrays"
    if name == "torch.load" and given.get("weights_only") != "True":
        yield "torch.load without weights_only=True"
    if name.endswith((".extractall", ".extract")) and given.get("filter") != "'data'":
        yield f"{name} without filter='data'"
    if name.endswith("unpack_archive") and given.get("filter") != "'data'":
        yield f"{name} without filter='data'"


def test_nothing_unsafe() -> None:
    found = set()
    for folder in FOLDERS:
        for path in (ROOT / folder).rglob("*.py"):
            name = path.relative_to(ROOT).as_posix()
            tree = ast.parse(path.read_text(encoding="utf-8"), name)
            found |= {(name, complaint) for complaint in complaints(tree)}
    assert found == EXCEPTIONS


@pytest.mark.parametrize(
    "code",
    [
        "import pickle",
        "from pickle import loads",
        "from urllib import request",
        "from urllib.request import urlopen",
        "eval(text)",
        "subprocess.run(command, shell=True)",
        "subprocess.run(f'ls {folder}')",
        "os.system('ls')",
        "np.load(path, allow_pickle=True)",
        "torch.load(path)",
        "torch.load(path, weights_only=False)",
        "archive.extractall(folder)",
        "tempfile.mktemp()",
    ],
)
def test_it_is_seen(code: str) -> None:
    assert list(complaints(ast.parse(code)))


@pytest.mark.parametrize(
    "code",
    [
        "import json",
        "module.eval()",
        "subprocess.run(['ls', folder], check=True)",
        "np.load(path)",
        "torch.load(path, weights_only=True)",
        "archive.extractall(folder, filter='data')",
    ],
)
def test_nothing_else_is(code: str) -> None:
    assert not list(complaints(ast.parse(code)))
