# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""The rules of the house: which folder may import which. docs/architecture.md explains them."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

BASICS = {
    *("emulator.errors", "emulator.files", "emulator.arrays", "emulator.pictures"),
    *("emulator.toml", "emulator.validation", "emulator.version"),
}
VOCABULARY = BASICS | {"emulator.model", "emulator.multipliers", "emulator.plan"}
PROGRAMS = VOCABULARY | {"host.counters", "host.isa", "host.overlay", "host.runtime"}
STUDIES = {f"emulator.studies.{name}" for name in ("tuning", "sensitivity", "errors")}

MAY_IMPORT: dict[str, set[str]] = {
    "emulator.errors": set(),
    "emulator.moved": set(),
    "emulator.files": set(),
    "emulator.arrays": {"emulator.errors", "emulator.files"},
    "emulator.pictures": {"emulator.errors", "emulator.files"},
    "emulator.toolchain": {"emulator.errors"},
    "emulator.yosys": {"emulator.errors", "emulator.files", "emulator.toolchain"},
    "emulator.softmax": {"emulator.model"},
    "emulator.toml": set(),
    "emulator.version": set(),
    "emulator.validation": set(),
    # The vocabulary: networks, multipliers, plans.
    "emulator.model": BASICS,
    "emulator.multipliers": BASICS | {"emulator.toolchain", "emulator.yosys"},
    "emulator.plan": BASICS | {"emulator.model", "emulator.multipliers"},
    "emulator.file_formats": BASICS | {"emulator.model", "emulator.softmax"},
    "emulator.keys": VOCABULARY,
    "emulator.energy": VOCABULARY,
    "emulator.datasets": VOCABULARY,
    # The arithmetic.
    "emulator.reference": VOCABULARY | {"emulator.softmax"},
    "emulator.engine": VOCABULARY | {"emulator.softmax", "emulator.toolchain"},
    "emulator.engine.gpu": VOCABULARY | {"emulator.engine", "emulator.softmax"},
    "emulator.emulation": VOCABULARY | {"emulator.engine"},
    # What becomes int8 networks.
    "emulator.quantisation": VOCABULARY
    | {"emulator.datasets", "emulator.emulation", "emulator.softmax"},
    "emulator": VOCABULARY
    | {"emulator.emulation", "emulator.file_formats", "emulator.moved", "emulator.version"}
    | {"emulator.frameworks", "emulator.quantisation"},
    # What uses it.
    "emulator.studies.comparison": {"emulator.errors"},
    "emulator.studies.evaluator": VOCABULARY
    | {"emulator.datasets", "emulator.engine", "emulator.keys"}
    | {"emulator.studies.comparison", "emulator.studies.tuning"},
    "emulator.studies.tuning": VOCABULARY
    | {"emulator.datasets", "emulator.engine", "emulator.emulation", "emulator.keys"},
    "emulator.studies.sensitivity": VOCABULARY
    | {"emulator.engine", "emulator.emulation"}
    | {"emulator.studies.evaluator", "emulator.studies.tuning"},
    "emulator.studies.errors": VOCABULARY | {"emulator.emulation"},
    "emulator.studies.search": VOCABULARY
    | {"emulator", "emulator.datasets", "emulator.energy", "emulator.keys"}
    | {"emulator.studies.comparison", "emulator.studies.evaluator", *STUDIES},
    "emulator.studies.retraining": VOCABULARY
    | {"emulator.datasets", "emulator.emulation", "emulator.engine.gpu", "emulator.keys", *STUDIES},
    "emulator.studies.joint": VOCABULARY
    | {"emulator", "emulator.datasets", "emulator.keys"}
    | {"emulator.studies.comparison", "emulator.studies.evaluator", "emulator.studies.tuning"}
    | {"emulator.studies.search", "emulator.studies.retraining"},
    "emulator.studies.matching": VOCABULARY
    | {"emulator", "emulator.datasets", "emulator.emulation", "emulator.energy", "emulator.keys"}
    | {"emulator.studies.comparison", "emulator.studies.evaluator"}
    | {"emulator.studies.retraining", "emulator.studies.search", *STUDIES},
    "emulator.frameworks": VOCABULARY
    | {"emulator.emulation", "emulator.file_formats", "emulator.quantisation"}
    | {"emulator.studies.retraining"},
    # The accelerator: its description, programs for it, how fast they are.
    "host": {"emulator", "host.compiler", "host.design", "host.overlay", "host.runtime"},
    "host.isa": {"emulator.errors"},
    "host.isa_model": {"host.isa"},
    "host.isa_derived": {"emulator.errors", "host.isa", "host.isa_model"},
    "host.counters": set(),
    "host.overlay": BASICS | {"emulator.multipliers", "host.isa"},
    "host.compiler": PROGRAMS | {"emulator.engine", "host.performance"},
    "host.performance": PROGRAMS,
    "host.generate": BASICS
    | {"emulator.multipliers"}
    | {"host.counters", "host.isa", "host.overlay"},
    # What runs on boards, and its stand-in.
    "host.runtime": VOCABULARY | {"emulator.engine", "host.isa", "host.overlay"},
    "host.software_board": PROGRAMS | {"emulator.toolchain", "host.generate"},
    # What becomes hardware.
    "host.netlists": VOCABULARY
    | {"emulator", "emulator.datasets", "emulator.toolchain", "emulator.yosys"}
    | {"host.isa", "host.overlay", "host.generate"},
    "host.synthesis": BASICS
    | {"emulator.yosys"}
    | {"host.generate", "host.netlists", "host.overlay", "host.performance"},
    # The door to all generated files stands above those that generate.
    "host.generate.__main__": BASICS
    | {"host.generate", "host.isa", "host.netlists", "host.overlay", "host.selftest"}
    | {"host.cli.schemas"},
    "host.bitstream": PROGRAMS | {"host.generate", "host.netlists"},
    # What measures and serves.
    "host.energy": VOCABULARY
    | {"emulator.energy", "emulator.yosys", "host.generate", "host.netlists"},
    "host.points": VOCABULARY
    | {"emulator", "emulator.datasets", "emulator.energy", "host.energy"}
    | {"emulator.studies.comparison", "emulator.studies.evaluator", "emulator.studies.search"},
    "host.power": PROGRAMS | {"emulator.energy", "host.performance"},
    # What chooses the hardware for a network, by models of all of it.
    "host.design": PROGRAMS
    | {"emulator", "emulator.energy", "emulator.toolchain"}
    | {"emulator.studies.evaluator", "emulator.studies.sensitivity", "emulator.studies.tuning"}
    | {"host.compiler", "host.netlists", "host.performance", "host.power", "host.synthesis"},
    # What is shown as pages.
    "host.report": VOCABULARY
    | {"emulator.emulation", "emulator.energy"}
    | {"emulator.studies.comparison", "emulator.studies.errors", "emulator.studies.evaluator"}
    | {"host.compiler", "host.overlay", "host.performance"},
    "host.selftest": PROGRAMS | {"emulator", "host.compiler"},
    "host.baseline": VOCABULARY,
    "host.deploy": PROGRAMS | {"emulator.datasets"},
    "host.cli.schemas": set(),
    "host.cli": {"emulator", "host"},
    # hls4ml designs with the multipliers.
    "hls4ml_extension": VOCABULARY
    | {"emulator", "emulator.datasets", "emulator.emulation", "emulator.energy", "emulator.keys"}
    | {"emulator.engine"}
    | {"emulator.studies.comparison", "emulator.studies.evaluator"}
    | {"emulator.studies.sensitivity", "emulator.studies.search"}
    | {"emulator.softmax", "emulator.toolchain"}
    | {"host.energy", "host.generate", "host.netlists", "host.overlay"},
}
"""What a folder, or a module beside the folders, may import besides itself. ``host.cli`` may
import everything."""

WHEN_ASKED = {
    # The one place that knows both kinds of board.
    ("host.runtime", "host.software_board"),
    # The one place that knows all engines; this one needs PyTorch.
    ("emulator.engine", "emulator.engine.gpu"),
}
"""Imports inside functions that the rules would not allow at the top."""


def places() -> list[str]:
    """Folders and modules that need a rule."""
    return sorted({place_of(path) for path in sources()})


def sources() -> Iterator[Path]:
    for package in ("emulator", "host", "hls4ml_extension"):
        yield from sorted((ROOT / package).rglob("*.py"))


def module_of(path: Path) -> str:
    name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
    return name.removesuffix(".__init__")


MODULES = {module_of(path): path for path in sources()}


def place_of(path: Path) -> str:
    """The innermost folder; for modules beside the folders, and for those that run, the module."""
    module, folder = module_of(path), ".".join(path.parent.relative_to(ROOT).parts)
    if path.name == "__main__.py" and module in MAY_IMPORT:
        return module
    beside = folder in ("emulator", "host", "emulator.studies")
    return module if beside and path.name != "__init__.py" else folder


def imports(path: Path) -> Iterator[tuple[str, bool]]:
    """Modules of the project that a module imports, and whether it does so inside a function."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    inside = {
        node
        for function in ast.walk(tree)
        if isinstance(function, (ast.FunctionDef, ast.AsyncFunctionDef))
        for node in ast.walk(function)
    }
    for node in ast.walk(tree):
        names: list[str] = []
        if isinstance(node, ast.ImportFrom):
            module = folder_of(node.module or "")
            names = [f"{module}.{alias.name}" for alias in node.names]
            names = [name if name in MODULES else module for name in names]
        elif isinstance(node, ast.Import):
            names = [folder_of(alias.name) for alias in node.names]
        for name in names:
            if name in MODULES:
                yield name, node in inside


def folder_of(module: str) -> str:
    """``axynq.host.isa`` is ``host/isa.py``. A folder called ``hls4ml`` would hide the package of
    that name from whoever works beside it."""
    if not module.startswith("axynq."):
        return module
    return re.sub(r"^hls4ml\b", "hls4ml_extension", module.removeprefix("axynq."))


@pytest.mark.parametrize("place", places())
def test_imports_follow_the_rules(place: str) -> None:
    allowed = MAY_IMPORT.get(place) or set()
    if place == "emulator.studies":  # its words alone
        return
    assert place in MAY_IMPORT, f"docs/architecture.md and this file say nothing of {place}"
    for path in sources():
        if place_of(path) != place:
            continue
        for name, when_asked in imports(path):
            other = place_of(MODULES[name])
            fine = other == place or other in allowed or place == "host.cli"
            fine = fine or (when_asked and (place, other) in WHEN_ASKED)
            assert fine, f"{path.relative_to(ROOT)} may not import {name}"


def test_rules_have_no_circle() -> None:
    """A place that may import another is nowhere above it."""
    above: dict[str, set[str]] = {}

    def reached(place: str, path: tuple[str, ...] = ()) -> set[str]:
        assert place not in path, " -> ".join((*path, place))
        if place not in above:
            found = set(MAY_IMPORT.get(place, ())) - {place}
            above[place] = found.union(*(reached(other, (*path, place)) for other in found))
        return above[place]

    for place in MAY_IMPORT:
        reached(place)


def test_no_modules_import_each_other() -> None:
    """Not in a circle of any length either, nor inside functions, but for :data:`WHEN_ASKED`."""
    imported = {module: sorted(imported_by(path)) for module, path in MODULES.items()}
    assert circle(imported) is None, " -> ".join(circle(imported) or ())


def test_a_circle_is_found() -> None:
    assert circle({"a": ["b"], "b": ["c", "d"], "c": [], "d": ["b"]}) == ["b", "d", "b"]
    assert circle({"a": ["b", "c"], "b": ["c"], "c": []}) is None


def imported_by(path: Path) -> set[str]:
    own, place = module_of(path), place_of(path)
    return {
        name
        for name, when_asked in imports(path)
        if name != own and not (when_asked and (place, place_of(MODULES[name])) in WHEN_ASKED)
    }


def circle(imported: Mapping[str, Sequence[str]]) -> list[str] | None:
    """Modules of which each imports the next, the first again at the end; None: there are none."""
    done: set[str] = set()

    def search(module: str, path: list[str]) -> list[str] | None:
        if module in path:
            return [*path[path.index(module) :], module]
        if module in done:
            return None
        rounds = (search(other, [*path, module]) for other in imported[module])
        found = next((each for each in rounds if each), None)
        done.add(module)
        return found

    return next((each for each in (search(module, []) for module in imported) if each), None)


def test_the_emulator_knows_nothing_of_the_host() -> None:
    for place, others in MAY_IMPORT.items():
        if place.startswith("emulator"):
            assert not [other for other in others if other.startswith("host")]


ONE_DOOR = """
import sys
import axynq.emulator
heavy = {"onnx", "pandas", "scipy", "tensorflow", "tflite_runtime", "torch"} & set(sys.modules)
assert not heavy, heavy
from axynq.emulator import from_torch, load_float_network, quantise, to_torch, write_back
assert not {"onnx", "tflite_runtime", "torch"} & set(sys.modules)
assert {"from_torch", "load_float_network", "quantise"} <= set(dir(axynq.emulator))
assert not hasattr(axynq.emulator, "from_nowhere")
"""


def test_the_emulator_offers_frameworks_without_importing_them() -> None:
    ran = subprocess.run(
        [sys.executable, "-c", ONE_DOOR], capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stderr


def test_a_wrong_import_is_found(tmp_path: Path) -> None:
    path = tmp_path / "wrong.py"
    path.write_text("from axynq.emulator.studies.search import front\n")
    assert list(imports(path)) == [("emulator.studies.search.front", False)]


OLD_NAMES = """
import importlib, sys, warnings
import axynq.emulator
found = []
for finder in [f for f in sys.meta_path if type(f).__name__ == "MovedModules"]:
    for old, new in finder._moved.items():
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            assert importlib.import_module(old) is importlib.import_module(new), old
        assert any("goes with version 0.3" in str(w.message) for w in told), old
        found.append(old)
from axynq.emulator.explore.search import Settings
from axynq.emulator.studies.search.search import Settings as same
assert Settings is same
print(len(found))
"""


def test_old_names_work_with_a_warning() -> None:
    ran = subprocess.run(
        [sys.executable, "-c", OLD_NAMES], capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stderr
    assert int(ran.stdout) > 10
