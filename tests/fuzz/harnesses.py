# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""What is fuzzed: for each kind of file or text, files to begin with, and what reads it."""

from __future__ import annotations

import io
import json
import random
import tarfile
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np

from axynq.emulator import Plan, load_model, multiplier
from axynq.emulator.datasets import load_dataset
from axynq.emulator.energy import EnergyFigures
from axynq.emulator.errors import AxynqError, ProgramError
from axynq.emulator.file_formats.foreign import foreign_file
from axynq.emulator.frameworks.float_files import load_float_network
from axynq.emulator.model.graph import Model
from axynq.emulator.multipliers.verilog_module import read_sidecars
from axynq.emulator.studies.errors import load_statistics
from axynq.host import Overlay, Program, compile_program
from axynq.host.overlay.board import read_board
from axynq.host.points import load_index
from axynq.host.power.log import Log
from axynq.host.power.recorded import read_recording
from axynq.host.runtime.manifest import Manifest
from tests.fuzz import mutations
from tests.fuzz.mutations import Mutate

ROOT = Path(__file__).parents[2]
FOUND = Path(__file__).with_name("found")
"""Inputs that once ended otherwise than they should, by harness."""


class Harness(NamedTuple):
    """A reader and what it is fed."""

    name: str
    """Of the file that is written for each input; its suffix is part of what readers look at."""
    load: Callable[[Path], object]
    """Reads the file. It returns, or raises an ``AxynqError``."""
    seeds: Callable[[], Iterator[bytes]]
    mutate: Mutate = mutations.any_bytes
    """A change that keeps the form."""
    dictionary: tuple[str, ...] = ()
    """Words of the format."""


@cache
def digits() -> Model:
    return load_model(ROOT / "models" / "digits_int8.tflite")


def text_of(path: Path) -> str:
    return path.read_bytes().decode("utf-8", "replace")


# --- networks ------------------------------------------------------------------------------------


def small_tflite() -> Iterator[bytes]:
    """Networks of a layer or two: pure Python reads those fast."""
    from axynq.emulator.file_formats.tflite_writer import save_model
    from tests.emulator.float_files import float_twin

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "m.tflite")
        for model in small_networks():
            save_model(model, path)
            yield path.read_bytes()
            yield float_twin(path.read_bytes())


@cache
def small_networks() -> tuple[Model, ...]:
    """Of every operator that random networks have."""
    from hypothesis import HealthCheck, Phase, given, seed, settings

    from tests.any_network import any_models

    found: list[Model] = []

    @settings(
        max_examples=40,
        database=None,
        phases=[Phase.generate],
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    @seed(1)
    @given(any_models())
    def collect(model: Model) -> None:
        if sum(op.kernel.size for op in model.layers) < 2000:
            found.append(model)

    collect()
    return tuple(found)


def load_any_network(path: Path) -> None:
    """As int8 and as float network; one of both complains of most."""
    try:
        load_model(path)
    except AxynqError:
        load_float_network(path)


def small_onnx() -> Iterator[bytes]:
    from onnx import TensorProto, helper

    def network(nodes, shape, constants, opset=17) -> bytes:
        graph = helper.make_graph(
            nodes,
            "g",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
            [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
            constants,
        )
        opsets = [helper.make_opsetid("", opset)]
        return helper.make_model(graph, opset_imports=opsets).SerializeToString()

    def constant(name, values, kind=TensorProto.FLOAT):
        values = np.asarray(values)
        return helper.make_tensor(name, kind, values.shape, values.reshape(-1))

    convolution = helper.make_node("Conv", ["x", "w", "b"], ["c"], pads=[1, 1, 1, 1])
    weights = [constant("w", np.ones((2, 1, 3, 3))), constant("b", np.ones(2))]
    yield network(
        [
            convolution,
            helper.make_node("Relu", ["c"], ["r"]),
            helper.make_node("GlobalAveragePool", ["r"], ["p"]),
            helper.make_node("Flatten", ["p"], ["y"]),
        ],
        [1, 1, 4, 4],
        weights,
    )
    yield network(
        [
            helper.make_node("Gemm", ["x", "w", "b"], ["g"], transB=1),
            helper.make_node("Softmax", ["g"], ["y"]),
        ],
        ["N", 3],
        [constant("w", np.ones((2, 3))), constant("b", np.ones(2))],
    )
    yield network(
        [
            helper.make_node("MaxPool", ["x"], ["p"], kernel_shape=[2, 2], strides=[2, 2]),
            helper.make_node("Transpose", ["p"], ["t"], perm=[0, 2, 3, 1]),
            helper.make_node("Reshape", ["t", "s"], ["q"]),
            helper.make_node("Add", ["q", "a"], ["y"]),
        ],
        [1, 2, 4, 4],
        [constant("s", [1, 8], TensorProto.INT64), constant("a", np.ones(8))],
    )
    scales = [
        constant("s", 0.1),
        constant("z", 3, TensorProto.INT8),
        constant("k", np.ones((2, 1, 3, 3)), TensorProto.INT8),
        constant("zero", 0, TensorProto.INT8),
        constant("i", [1, 2], TensorProto.INT32),
        constant("sb", 0.01),
        constant("zb", 0, TensorProto.INT32),
    ]
    q, d = "QuantizeLinear", "DequantizeLinear"
    yield network(
        [
            helper.make_node(q, ["x", "s", "z"], ["xq"]),
            helper.make_node(d, ["xq", "s", "z"], ["xd"]),
            helper.make_node(d, ["k", "s", "zero"], ["w"]),
            helper.make_node(d, ["i", "sb", "zb"], ["b"]),
            helper.make_node("Conv", ["xd", "w", "b"], ["c"]),
            helper.make_node(q, ["c", "s", "z"], ["cq"]),
            helper.make_node(d, ["cq", "s", "z"], ["y"]),
        ],
        [1, 1, 4, 4],
        scales,
    )
    yield network(
        [
            helper.make_node(q, ["x", "s", "z"], ["xq"]),
            helper.make_node(
                "QLinearConv", ["xq", "s", "z", "k", "s", "zero", "s", "z", "i"], ["cq"]
            ),
            helper.make_node(d, ["cq", "s", "z"], ["y"]),
        ],
        [1, 1, 4, 4],
        scales,
    )


# --- plans and multipliers -----------------------------------------------------------------------

PLAN_WORDS = (
    "exact",
    "roup:1,4",
    "roup:",
    "smapprox:3330",
    "table:a.npz#x",
    "llam=",
    "flam=",
    "klam-channel=",
    "klam-row=",
    "klam-column=",
    "klms=",
    "+",
    "|",
    ",",
    "#",
    "signed",
    "activation=first",
    '"',
    "1-2-3-4",
    "1e400",
    "nan",
    "-1",
    "²",
)


def plan_texts() -> Iterator[bytes]:
    for text in (
        "exact",
        "llam=roup:1,4",
        "flam=exact|roup:1,4|smapprox:3330",
        "klms=2",
        "klam-row=exact|roup:0,2-1-0-0+klms=1.5",
        'table:"a|b.npz"#c,signed',
        "klam-channel=exact|smapprox:1100",
    ):
        yield text.encode()


def load_plan_text(path: Path) -> None:
    Plan.parse(digits(), text_of(path))


def load_multiplier_text(path: Path) -> None:
    found = multiplier(text_of(path))
    found.product(np.array([-255, 0, 255]), np.array([-128, 0, 127]))


def plan_files() -> Iterator[bytes]:
    layer = digits().layers[0].name
    yield json.dumps(Plan.parse(digits(), "flam=exact|roup:1,4+klms=2").content()).encode()
    yield json.dumps(
        {
            "format": "axynq-plan",
            "version": 1,
            "default": "exact",
            "layers": {
                layer: {"multipliers": ["exact", "roup:1,4"], "axis": "channel", "classes": [0]}
            },
        }
    ).encode()
    for path in sorted((ROOT / "models" / "points").glob("*.json"), key=lambda p: p.stat().st_size):
        if path.stat().st_size < 4000:
            yield path.read_bytes()


def load_plan(path: Path) -> None:
    Plan.load(path).expand(digits())


def sidecar_files() -> Iterator[bytes]:
    for path in (ROOT / "examples").rglob("*.v.toml"):
        yield path.read_bytes()
    yield b'[mul]\nactivation = "a"\nweight = "b"\nsigned = true\nlatency = 2\nclock = "clk"\n'


def load_sidecars(path: Path) -> None:
    read_sidecars(path.with_suffix(""))


def tables() -> Iterator[bytes]:
    table = np.outer(np.arange(256), np.arange(256)).astype(np.uint16)
    yield saved(t=table)
    yield saved(a=table, b=table.astype(np.int32))
    signed = np.outer(np.arange(-128, 128), np.arange(-128, 128)).astype(np.int16)
    yield saved(s=signed)


def saved(**arrays: np.ndarray) -> bytes:
    made = io.BytesIO()
    np.savez_compressed(made, **arrays)
    return made.getvalue()


def load_table(path: Path) -> None:
    with suppress(AxynqError):
        multiplier(f"table:{path}#s,signed")
    multiplier(f"table:{path}#t,unsigned,activation=first")


# --- overlays, boards, programs, manifests -------------------------------------------------------


def toml_files(folder: str) -> Callable[[], Iterator[bytes]]:
    return lambda: (path.read_bytes() for path in sorted((ROOT / folder).glob("*.toml")))


def load_board(path: Path) -> None:
    read_board(text_of(path), "board")


def programs() -> Iterator[bytes]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "p.axp")
        for model in small_networks()[:12]:
            with suppress(ProgramError):  # nothing in it that the accelerator can compute
                compile_program(model, "exact", "tiny4").save(path)
                yield path.read_bytes()


def manifests() -> Iterator[bytes]:
    yield json.dumps(
        {
            "overlay": Overlay.load("tiny4").model_dump(mode="json"),
            "overlay_hash": "0",
            "board": "b",
            "part": "p",
            "clock_mhz": 1.0,
            "tools": {"vivado": "2023.2"},
            "utilisation": {"lut": {"used": 1.5, "available": 3}},
            "golden": None,
            "timing": {"setup_slack_ns": 0, "hold_slack_ns": 0},
            "bit": {"name": "b", "sha256": ""},
            "hwh": {"name": "h", "sha256": ""},
            "axynq": "1",
            "built": "",
        }
    ).encode()


# --- data and records ----------------------------------------------------------------------------


def recordings() -> Iterator[bytes]:
    yield b"time,power\n1700000000.5,1.25\n1700000001.5,1.5\n1700000002.5,1.75\n"
    yield b"time;power\n1700000000,5;1,25\n1700000001,5;1,5\n"
    yield b"# a meter\n\ntime\tpower [mW]\n2024-05-01T12:00:00Z\t125\n2024-05-01T12:00:01.5Z\t130\n"
    yield b'"time ms","power"\n"1","1,234.5 mW"\n"2","5 W"\n'
    yield "\ufefftime,power\n1,2\n3,nan\n4,5\n".encode("utf-16-le")


def load_recording(path: Path) -> None:
    read_recording(path, "time", "power")


SETTINGS = {"overlay": "tiny4", "rounds": 3}


def experiments() -> Iterator[bytes]:
    yield (
        json.dumps(SETTINGS).encode()
        + b"\0slot,round,contender,session,start,end,wall,inferences\n"
        b"0,0,,0,1.5,2.5,1700000000.5,0\n1,0,a.axp,0,2.5,3.5,1700000001.5,16\n"
        b"\0session,time,rail,watts\n0,1.75,12V,3.25\n0,2.75,12V,3.5\n"
    )


def load_experiment(path: Path) -> None:
    """The three files of an experiment's folder, a zero byte between them."""
    parts = path.read_bytes().split(b"\0")
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        for name, content in zip(("experiment.json", "slots.csv", "samples.csv"), parts):
            Path(folder, name).write_bytes(content)
        Log(Path(folder), SETTINGS)


def examples() -> Iterator[bytes]:
    yield saved(x=np.zeros((2, 3, 3, 1), np.int8), y=np.arange(2))
    yield saved(x=np.zeros((2, 2), np.float32), y=np.eye(2))
    yield saved(x=np.zeros((2, 4, 4, 3), np.uint8), y=np.zeros((2, 1), np.uint8))


def statistics() -> Iterator[bytes]:
    from axynq.emulator.studies.errors import extract, save_statistics

    x = np.zeros((4, 8, 8, 1), np.int8)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "s.npz")
        save_statistics(extract(digits(), Plan.uniform("roup:1,4"), x, engine="portable"), path)
        yield path.read_bytes()


def images() -> dict[str, bytes]:
    from PIL import Image

    made = {}
    for number, (kind, suffix) in enumerate(
        (
            ("PNG", "png"),
            ("JPEG", "jpg"),
            ("BMP", "bmp"),
            ("GIF", "gif"),
            ("PPM", "ppm"),
            ("WEBP", "webp"),
        )
    ):
        content = io.BytesIO()
        Image.fromarray(np.arange(27, dtype=np.uint8).reshape(3, 3, 3)).save(content, kind)
        made[f"c{number % 2}/{number}.{suffix}"] = content.getvalue()
    return made


def cifar_batch() -> bytes:
    """As CIFAR-10 ships them, in the oldest protocol of numpy arrays."""
    import pickle

    batch = {b"data": np.zeros((2, 3072), np.uint8), b"labels": [1, 2]}
    return pickle.dumps(batch, protocol=2)


def zips() -> Iterator[bytes]:
    for members in ({k: v} for k, v in images().items()):
        yield zipped(members)
    yield zipped(images())
    yield zipped({"cifar-10-batches-py/test_batch": cifar_batch()})
    yield zipped(
        {f"{split}/a/{n}.png": images()["c0/0.png"] for split in ("train", "test") for n in "12"}
    )


def zipped(members: dict[str, bytes]) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(zipfile.ZipInfo(name), content)
    return made.getvalue()


def tars() -> Iterator[bytes]:
    for kind in ("", "gz", "xz", "bz2"):
        made = io.BytesIO()
        with tarfile.open(fileobj=made, mode=f"w:{kind}") as archive:  # type: ignore[call-overload]
            for name, content in [*images().items(), ("x/test_batch", cifar_batch())]:
                info = tarfile.TarInfo(name)
                info.size = len(content)
                archive.addfile(info, io.BytesIO(content))
        yield made.getvalue()


def load_foreign(path: Path) -> None:
    foreign_file(path.read_bytes())


def foreign_files() -> Iterator[bytes]:
    yield from (
        b"",
        b"\x80\x04K\x01.",
        b"<!doctype html>",
        b"\x08\x07:\x02\n\0",
        b"PK\3\4",
        b"BZh9",
    )
    yield zipped({"a/data.pkl": b"x", "model.weights.h5": b""})


def read_index(path: Path) -> None:
    load_index(path.parent)


def index() -> Iterator[bytes]:
    content = json.loads((ROOT / "models" / "points" / "index.json").read_text())
    yield json.dumps(content).encode()
    content["points"] = content["points"][:1]
    yield json.dumps(content).encode()


def energies() -> Iterator[bytes]:
    yield (ROOT / "emulator" / "data" / "energy-published.json").read_bytes()
    entry = {"relative_energy": 0.5, "source": "s"}
    yield json.dumps(
        {"format": "axynq-energy", "version": 1, "multipliers": {"exact": entry, "roup:1,4": entry}}
    ).encode()


JSON_WORDS = (
    '"format"',
    '"version"',
    '"layers"',
    '"default"',
    '"multipliers"',
    "null",
    "1e999",
    '"axis"',
    '"classes"',
    '"skip_sigma"',
    "\\u0000",
    "\\ud800",
)
TOML_WORDS = (
    "[array]",
    "[[lanes]]",
    "[buffers]",
    "bank = [",
    "inf",
    "nan",
    '"""',
    "'''",
    "{",
    "}",
    "0x",
    "1979-05-27",
    "true",
    "#",
)

HARNESSES: dict[str, Harness] = {
    "tflite": Harness("m.tflite", load_any_network, small_tflite, mutations.flatbuffer),
    "onnx": Harness("m.onnx", load_any_network, small_onnx, mutations.onnx_network),
    "foreign": Harness("m.bin", load_foreign, foreign_files),
    "plan-text": Harness(
        "p.txt", load_plan_text, plan_texts, mutations.words(PLAN_WORDS), PLAN_WORDS
    ),
    "multiplier-text": Harness(
        "m.txt", load_multiplier_text, plan_texts, mutations.words(PLAN_WORDS), PLAN_WORDS
    ),
    "plan": Harness("p.json", load_plan, plan_files, mutations.json_text, JSON_WORDS),
    "sidecar": Harness("m.v.toml", load_sidecars, sidecar_files, mutations.toml_text, TOML_WORDS),
    "table": Harness("t.npz", load_table, tables, mutations.zip_archive(mutations.numpy_array)),
    "overlay": Harness(
        "o.toml", Overlay.load, toml_files("hls/overlays"), mutations.toml_text, TOML_WORDS
    ),
    "board": Harness(
        "b.toml", load_board, toml_files("bitstreams/boards"), mutations.toml_text, TOML_WORDS
    ),
    "program": Harness("p.axp", Program.load, programs, mutations.program),
    "manifest": Harness("m.json", Manifest.load, manifests, mutations.json_text, JSON_WORDS),
    "recording": Harness(
        "r.csv",
        load_recording,
        recordings,
        mutations.words(("1", "nan", "W", "mW", "time", "power", '"', ";", "\t", "1,5", "-", "V")),
    ),
    "experiment": Harness(
        "e.bin", load_experiment, experiments, mutations.words(("1", "nan", "inf", "", '"', "{}"))
    ),
    "energies": Harness("e.json", EnergyFigures, energies, mutations.json_text, JSON_WORDS),
    "index": Harness("index.json", read_index, index, mutations.json_text, JSON_WORDS),
    "examples": Harness(
        "d.npz", load_dataset, examples, mutations.zip_archive(mutations.numpy_array)
    ),
    "statistics": Harness(
        "s.npz", load_statistics, statistics, mutations.zip_archive(mutations.numpy_array)
    ),
    "zip": Harness("d.zip", load_dataset, zips, mutations.zip_archive(mutations.any_bytes)),
    "tar": Harness("d.tar", load_dataset, tars, mutations.tar_archive(mutations.any_bytes)),
}


def mutated(harness: Harness, content: bytes, seed: int) -> bytes:
    """The content with one to four changes that keep its form."""
    dice = random.Random(seed)
    for _ in range(dice.choice((1, 1, 2, 4))):
        content = harness.mutate(content, dice)
    return content
