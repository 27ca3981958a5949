# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""Damaged files of every format: one clear error, or what can still be read; and what is written
is what is read again."""

from __future__ import annotations

import io
import json
import tarfile
import zipfile
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from PIL import Image

from axynq.emulator import Plan, load_model, multiplier
from axynq.emulator.datasets import load_dataset
from axynq.emulator.energy import EnergyFigures
from axynq.emulator.errors import AxynqError
from axynq.emulator.model import graph
from axynq.emulator.studies.errors import (
    ErrorStatistics,
    PairMoments,
    load_statistics,
    save_statistics,
)
from axynq.emulator.studies.errors.extraction import LayerStatistics
from axynq.emulator.studies.search import exploration
from axynq.emulator.studies.search.store import Store
from axynq.host import Overlay, Program
from axynq.host.overlay import overlay_names
from axynq.host.overlay.board import load_board
from axynq.host.power.hwmon import open_hwmon
from axynq.host.runtime.manifest import Manifest
from axynq.host.runtime.program import CoreStage, HostStage, TensorPlace
from axynq.host.runtime.serialised import Assigned
from tests.any_network import any_models

# --- what is written is what is read -------------------------------------------------------------

reals = st.floats(allow_nan=False)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False,
    allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)  # fmt: skip


@st.composite
def statistics_of_any_kind(draw) -> ErrorStatistics:
    layers = {}
    for number in range(draw(st.integers(0, 2))):
        name = draw(st.text("ab/ .\té", max_size=4)) + f"_{number}"
        shape = draw(array_shapes(min_dims=3, max_dims=3, max_side=3))
        moments = (draw(arrays(np.float64, shape, elements=reals)) for _ in range(5))
        neurons = PairMoments(draw(st.integers(1, 2**40)), *moments)
        layers[name] = LayerStatistics(
            name, neurons, draw(arrays(np.float64, shape[2], elements=reals))
        )
    return ErrorStatistics(
        draw(st.text()), draw(st.text()), draw(st.integers(1, 2**40)), layers,
        draw(st.dictionaries(st.text(), json_values, max_size=3)),
    )  # fmt: skip


@settings(max_examples=40)
@given(made=statistics_of_any_kind())
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_any_statistics_survive_saving(tmp_path_factory, made: ErrorStatistics) -> None:
    path = tmp_path_factory.mktemp("statistics") / "s.npz"
    save_statistics(made, path)
    loaded = load_statistics(path)
    assert replace(loaded, layers={}) == replace(made, layers={})
    assert list(loaded.layers) == list(made.layers)
    for name, layer in made.layers.items():
        mine, theirs = vars(loaded.layers[name].neurons), vars(layer.neurons)
        for field in ("output_mean", "error_mean", "output_squares", "error_squares", "products"):
            np.testing.assert_array_equal(mine[field], theirs[field])
        assert mine["count"] == theirs["count"]
        np.testing.assert_array_equal(loaded.layers[name].scale, layer.scale)


whole = st.integers(0, 2**31 - 1)
small = st.integers(0, 9)
shapes = st.lists(whole, max_size=3).map(tuple)
tensors = st.builds(
    graph.Tensor, st.text(), shapes, reals, st.integers(-128, 127),
    st.none() | st.builds(graph.Interface, st.text(), st.just("uint8"), reals, small),
)  # fmt: skip
places = st.builds(TensorPlace, tensors, whole, whole, whole, whole)
stages = st.one_of(
    st.builds(CoreStage, whole, small, small, st.lists(small, max_size=3).map(tuple)),
    st.builds(HostStage, small, small),
)
words = st.dictionaries(st.text(), st.text(), max_size=2)


@st.composite
def programs(draw) -> Program:
    """Of a network of any operators, all of which the host computes."""
    network = draw(any_models())
    layers = [op.name for op in network.layers]
    codes = arrays(np.uint8, array_shapes(max_dims=3, max_side=3))
    return Program(
        draw(st.text()), draw(st.text()), draw(st.text()), draw(whole), draw(whole),
        draw(st.lists(stages, max_size=3).map(tuple)), network,
        draw(st.dictionaries(small, small, max_size=2)),
        draw(st.dictionaries(small, places, max_size=2)),
        draw(st.lists(st.text(), max_size=3).map(tuple)),
        draw(st.dictionaries(st.text(), st.dictionaries(st.text(), whole, max_size=2), max_size=2)),
        draw(arrays(np.uint8, st.integers(0, 30))), draw(words),
        {name: Assigned(("exact", "roup:1,4"), draw(codes)) for name in layers},
    )  # fmt: skip


def comparable(program: Program) -> object:
    """What it says, operator by operator."""
    held = {**vars(program), "memory": program.memory.tolist()}
    network = held.pop("network")
    held["assigned"] = {
        name: (each.multipliers, each.codes.tolist()) for name, each in program.assigned.items()
    }
    operators = [
        (type(op), {k: v.tolist() if isinstance(v, np.ndarray) else v for k, v in fields_of(op)})
        for op in network.operators
    ]
    constants = {index: values.tolist() for index, values in network.constants.items()}
    tensors = (network.name, network.tensors, network.inputs, network.outputs)
    return held, operators, constants, tensors


def fields_of(op: graph.Operator) -> list[tuple[str, object]]:
    return [(item.name, getattr(op, item.name)) for item in fields(op)]


@settings(max_examples=40)
@given(made=programs())
def test_any_program_survives_saving(tmp_path_factory, made: Program) -> None:
    path = tmp_path_factory.mktemp("programs") / "p.axp"
    made.save(path)
    loaded = Program.load(path)
    assert comparable(loaded) == comparable(made)


@pytest.mark.parametrize("clock", [100, 33.333333333333336, 1e22, 1e-7, 1 / 3])
@pytest.mark.parametrize("name", overlay_names())
def test_overlays_survive_being_written(tmp_path: Path, name: str, clock: float) -> None:
    overlay = Overlay.load(name).model_copy(update={"clock_mhz": float(clock)})
    path = tmp_path / "o.toml"
    path.write_text(overlay.to_toml())
    assert Overlay.load(path) == overlay


@given(
    st.dictionaries(
        st.tuples(st.text(), st.sampled_from(["layer", "filter", "row"]), st.text()),
        arrays(np.float64, st.integers(0, 4), elements=reals),
        max_size=4,
    )
)
@settings(max_examples=40)
def test_any_estimate_survives_saving(tmp_path_factory, increase: Any) -> None:
    path = tmp_path_factory.mktemp("estimates") / "e.npz"
    exploration._save(increase, path)
    loaded = exploration._load(path)
    assert loaded is not None
    assert list(loaded) == list(increase)
    for name, values in increase.items():
        np.testing.assert_array_equal(loaded[name], values)


# --- damage --------------------------------------------------------------------------------------


class Format(NamedTuple):
    suffix: str
    make: Callable[[Path], object]
    load: Callable[[Path], object]


def images() -> dict[str, bytes]:
    content = io.BytesIO()
    Image.fromarray(np.zeros((2, 2), np.uint8)).save(content, "PNG")
    return {"a/1.png": content.getvalue(), "b/1.png": content.getvalue()}


def tar(kind: str) -> Callable[[Path], None]:
    def make(path: Path) -> None:
        with tarfile.open(path, f"w:{kind}") as archive:  # type: ignore[call-overload]
            for name, content in images().items():
                member = tarfile.TarInfo(name)
                member.size = len(content)
                archive.addfile(member, io.BytesIO(content))

    return make


def zipped(path: Path) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in images().items():
            archive.writestr(name, content)


def energies(path: Path) -> None:
    entry = {"relative_energy": 0.5, "source": "s"}
    content = {"format": "axynq-energy", "version": 1, "multipliers": {"x": entry}}
    path.write_text(json.dumps(content))


def manifest(path: Path) -> None:
    Manifest.model_validate(
        {
            "overlay": Overlay.load("tiny4").model_dump(), "overlay_hash": "0", "board": "b",
            "part": "p", "clock_mhz": 1.0, "tools": {}, "utilisation": {}, "golden": None,
            "timing": {"setup_slack_ns": 0, "hold_slack_ns": 0},
            "bit": {"name": "b", "sha256": ""}, "hwh": {"name": "h", "sha256": ""},
            "axynq": "1", "built": "",
        }
    ).save(path)  # fmt: skip


def store(path: Path) -> None:
    with Store(path) as made:
        made.put("context", "plan", np.arange(12) < 3)


def use_store(path: Path) -> None:
    for beside in path.parent.glob(f"{path.name}-*"):
        beside.unlink(missing_ok=True)
    with Store(path) as opened:
        opened.get("context", ["plan"])
        len(opened)
        opened.right("context", ["plan"], 12)
        opened.put("context", "other", np.arange(12) < 4)


def plan(path: Path) -> None:
    Plan.from_codes({"conv_0": (["exact", "roup:1,4"], np.arange(12) % 3)}).save(path)


def moments() -> ErrorStatistics:
    neurons = PairMoments(2, *np.ones((5, 1, 1, 2)))
    return ErrorStatistics("m", "p", 2, {"l": LayerStatistics("l", neurons, np.ones(2))})


TABLE = np.outer(np.arange(256), np.arange(256)).astype(np.uint16)
PROGRAM = Program(
    "m", "o", "h", 4, 1, (CoreStage(0, 0, 1, (0,)),), graph.Model("m", (), (), (), ()), {},
    {0: TensorPlace(graph.Tensor("t", (1,), 1.0, 0), 1, 1, 0, 1)}, (), {}, TABLE[1],
)  # fmt: skip

FORMATS = {
    "plan": Format(".json", plan, Plan.load),
    "statistics": Format(".npz", lambda path: save_statistics(moments(), path), load_statistics),
    "program": Format(".axp", PROGRAM.save, Program.load),
    "energies": Format(".json", energies, EnergyFigures),
    "overlay": Format(
        ".toml", lambda path: path.write_text(Overlay.load("tiny4").to_toml()), Overlay.load
    ),
    "manifest": Format(".json", manifest, Manifest.load),
    "table": Format(
        ".npz", lambda path: np.savez_compressed(path, t=TABLE), lambda p: multiplier(f"table:{p}")
    ),
    "plain table": Format(
        ".npy", lambda path: np.save(path, TABLE), lambda p: multiplier(f"table:{p}")
    ),
    "examples": Format(
        ".npz", lambda path: np.savez(path, x=np.zeros((2, 3)), y=np.arange(2)), load_dataset
    ),
    "gz": Format(".tar.gz", tar("gz"), load_dataset),
    "xz": Format(".tar.xz", tar("xz"), load_dataset),
    "tar": Format(".tar", tar(""), load_dataset),
    "zip": Format(".zip", zipped, load_dataset),
    "estimate": Format(
        ".npz",
        lambda path: exploration._save({("l", "filter", "s"): np.ones(3)}, path),
        exploration._load,
    ),
    "store": Format(".sqlite", store, use_store),
}


@pytest.mark.parametrize("name", FORMATS)
def test_damage_is_one_clear_error(tmp_path_factory, name: str) -> None:
    """A cut anywhere, and bits flipped anywhere."""
    form = FORMATS[name]
    folder = tmp_path_factory.mktemp("damaged")
    path = folder / f"file{form.suffix}"
    form.make(path)
    form.load(path)
    content = path.read_bytes()

    @settings(max_examples=40, database=None)
    @given(
        st.integers(0, len(content) - 1),
        st.integers(0, 8),
        st.integers(0, min(len(content), 300) - 1) | st.integers(0, len(content) - 1),
    )
    def damaged(cut: int, bit: int, place: int) -> None:
        damage = bytearray(content[:cut] if bit == 8 else content)
        if bit < 8:
            damage[place] ^= 1 << bit
        path.write_bytes(damage)
        told = str(path)
        try:
            form.load(path)
        except AxynqError as error:
            told = str(error)
        assert str(path) in told

    damaged()


@pytest.mark.parametrize("name", [n for n in FORMATS if n not in ("store", "estimate")])
@pytest.mark.parametrize("content", [b"", b"\0", b"\xff\xfe", b"[" * 100_000, b"PK\3\4", b"null"])
def test_something_else_is_one_clear_error(tmp_path: Path, name: str, content: bytes) -> None:
    path = tmp_path / f"file{FORMATS[name].suffix}"
    path.write_bytes(content)
    with pytest.raises(AxynqError) as caught:
        FORMATS[name].load(path)
    assert str(path) in str(caught.value)


# --- names ---------------------------------------------------------------------------------------

LONG = "a" * 300


@pytest.mark.parametrize(
    "load",
    [
        lambda: load_model(f"{LONG}.tflite"),
        lambda: load_model(f"{LONG}.onnx"),
        lambda: load_dataset(LONG),
        lambda: load_dataset(f"{LONG}.npz"),
        lambda: load_dataset("~nobody-of-that-name/x.npz"),
        lambda: Plan.load(f"{LONG}.json"),
        lambda: multiplier(f"table:{LONG}.npz"),
        lambda: Overlay.load(LONG),
        lambda: Overlay.load(f"{LONG}.toml"),
        lambda: load_board(LONG),
        lambda: Program.load(f"{LONG}.axp"),
        lambda: EnergyFigures(f"{LONG}.json"),
        lambda: Manifest.load(Path(f"{LONG}.json")),
        lambda: open_hwmon(LONG),
    ],
)
def test_names_that_cannot_be_are_one_clear_error(load: Callable[[], object]) -> None:
    with pytest.raises(AxynqError):
        load()
