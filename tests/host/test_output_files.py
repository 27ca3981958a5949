# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""Files that users get are replaced whole, whatever happens while they are written."""

from __future__ import annotations

import ast
import ctypes
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from axynq.emulator import Emulator, Plan
from axynq.emulator.errors import AxynqError, ToolError
from axynq.emulator.model import graph
from axynq.emulator.pictures import new_figure, save_figure
from axynq.emulator.studies.search import exploration
from axynq.emulator.toolchain import shared_library

ROOT = Path(__file__).parents[2]


@contextmanager
def full_disk() -> Iterator[None]:
    """No file can grow beyond a few bytes meanwhile: writes fail as they do on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (16, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


COMMANDS = {
    "compile": ("compile {model} --overlay tiny4 --output {output}/p.axp", "p.axp"),
    "noise": ("noise {model} --data {data} --limit 8 --output {output}/n.npz", "n.npz"),
    "tune": ("tune {model} --plan roup:2,6 --data {data} --output {output}/t.tflite", "t.tflite"),
    "rtl": ("rtl smapprox:1100 --output {output}", "smapprox_1100.v"),
}
"""A command, and a file that it writes."""


@pytest.mark.parametrize("command", COMMANDS)
def test_commands_on_a_full_disk_keep_the_older_file(
    axynq, digits_path: Path, digits_data: Path, tmp_path: Path, command: str
) -> None:
    text, name = COMMANDS[command]
    output = tmp_path / "output"
    output.mkdir()
    path = output / name
    path.write_bytes(b"old")
    words = [w.format(model=digits_path, data=digits_data, output=output) for w in text.split()]
    with full_disk():
        code, _, err = axynq(*words)
    assert code == 1
    assert "cannot be written: File too large" in " ".join(err.split())
    assert path.read_bytes() == b"old"
    assert [p.name for p in output.iterdir()] == [name]
    code, _, err = axynq(*words)
    assert code == 0, err
    assert path.stat().st_size > 16


def picture(path: Path) -> None:
    save_figure(new_figure(1, 1), path)


def plan(path: Path) -> None:
    Plan.uniform("exact").save(path)


@pytest.mark.parametrize(
    ("write", "name"),
    [
        (plan, "plan.json"),
        (picture, "picture.png"),
        (picture, "picture.pdf"),
        (picture, "picture"),
        (lambda path: exploration._save({}, path), "estimate.npz"),
    ],
)
def test_writers_on_a_full_disk_keep_the_older_file(tmp_path: Path, write, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(b"old")
    with full_disk(), pytest.raises(AxynqError, match="cannot be written: .*File too large"):
        write(path)
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]
    write(path)
    assert path.stat().st_size > 16
    assert list(tmp_path.iterdir()) == [path]


def test_results_do_not_depend_on_how_full_the_disk_is(digits: graph.Model) -> None:
    """The engine's cached library is not needed to be written again."""
    Emulator(digits, "exact")
    with full_disk():
        Emulator(digits, "roup:1,4")


def test_an_engine_that_cannot_be_kept_is_one_clear_error(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("AXYNQ_CACHE", str(tmp_path))
    source = tmp_path / "f.cpp"
    source.write_text('extern "C" int f() { return 7; }')
    with full_disk(), pytest.raises(ToolError):
        shared_library("small", [source], [])
    assert list(tmp_path.iterdir()) == [source]
    library = shared_library("small", [source], [])
    assert ctypes.CDLL(str(library)).f() == 7
    monkeypatch.setenv("AXYNQ_CACHE", str(source / "nowhere"))
    with pytest.raises(ToolError, match="cannot be written .Not a directory.: set AXYNQ_CACHE"):
        shared_library("small", [source], [])


# --- sources -------------------------------------------------------------------------------------

OTHERWISE = {
    "emulator/files.py": "replaces files",
    "emulator/toolchain.py": "a temporary folder, whose library is renamed",
    "emulator/multipliers/c_function.py": "a temporary folder",
    "host/cli/ending.py": "standard streams",
    "host/deploy.py": "a temporary folder, which is copied to the board",
    "host/power/log.py": "rows are appended, all or none",
    "host/bitstream/tools.py": "a log, line by line",
    "host/software_board/device.py": "a temporary folder",
    "host/netlists/yosys.py": "what goes between two steps of a tool",
    "host/netlists/proof.py": "a temporary folder",
    "emulator/yosys.py": "a temporary folder",
}
"""Sources that may write in another way, and why."""

WRITERS = {"save", "savez", "savez_compressed", "savefig", "write_html", "copyfile"}
"""Functions whose argument says where to write."""
MOVES = {"copy", "copy2", "move", "rename", "renames"}


def written_otherwise(tree: ast.Module) -> Iterator[ast.Call]:
    """Calls that write a file other than through :mod:`axynq.emulator.files`."""
    replaced: set[str] = set()
    for node in ast.walk(tree):
        for item in node.items if isinstance(node, ast.With) else ():
            opened = ast.unparse(item.context_expr)
            if opened.startswith("files.replacing(") or opened.partition(".")[0] in replaced:
                replaced.add(ast.unparse(item.optional_vars) if item.optional_vars else "")
    in_memory = {
        node.targets[0].id
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign)
        and isinstance(node.targets[0], ast.Name)
        and ast.unparse(node.value) == "io.BytesIO()"
    }
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        function = ast.unparse(node.func)
        owner, _, name = function.rpartition(".")
        arguments = [ast.unparse(argument) for argument in node.args]
        if name in ("write_text", "write_bytes"):
            wrong = owner != "files"
        elif name == "open":
            modes = [a for a in (*node.args, *(k.value for k in node.keywords))
                     if isinstance(a, ast.Constant)]  # fmt: skip
            wrong = any(set("wax+") & set(str(m.value)) and len(str(m.value)) < 4 for m in modes)
            wrong = wrong and owner not in replaced
        elif name in WRITERS and (owner in ("np", "torch", "shutil") or name[:4] != "save" or
                                  name == "savefig"):  # fmt: skip
            wrong = not (replaced | in_memory) & set(arguments)
        else:
            wrong = owner in ("os", "shutil") and name in {*MOVES, "replace"}
        if wrong:
            yield node


@pytest.mark.parametrize("folder", ["emulator", "host", "examples", "benchmarks"])
def test_sources_write_files_in_one_way(folder: str) -> None:
    found = []
    for path in sorted((ROOT / folder).rglob("*.py")):
        name = path.relative_to(ROOT).as_posix()
        if name in OTHERWISE:
            continue
        tree = ast.parse(path.read_text(encoding="utf-8"))
        found += [f"{name}:{call.lineno}: {ast.unparse(call)}" for call in written_otherwise(tree)]
    assert not found, "write through axynq.emulator.files: " + "; ".join(found)


@pytest.mark.parametrize(
    "source",
    [
        "path.write_text('')",
        "Path('a').write_bytes(b'')",
        "open(path, 'w')",
        "path.open('wb')",
        "open(path, mode='a')",
        "np.savez(path, a=1)",
        "np.save(path, a)",
        "torch.save(a, path)",
        "figure.savefig(path)",
        "figure.write_html(path)",
        "os.replace(a, b)",
        "shutil.copyfile(a, b)",
        "with files.replacing(a) as t:\n    np.save(b, x)",
    ],
)
def test_other_ways_are_found(source: str) -> None:
    assert list(written_otherwise(ast.parse(source)))


@pytest.mark.parametrize(
    "source",
    [
        "files.write_text(path, '')",
        "open(path)",
        "open(path, 'rb')",
        "with files.replacing(a) as t:\n    np.save(t, x)",
        "with files.replacing(a) as t, t.open('wb') as f:\n    np.save(f, x)",
        "content = io.BytesIO()\nnp.savez(content, a=1)",
        "text.replace('a', 'b')",
        "plan.save(path)",
    ],
)
def test_the_one_way_is_not_found(source: str) -> None:
    assert not list(written_otherwise(ast.parse(source)))
