# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""Files that are no int8 TFLite network: one message says what each is and what to do."""

from __future__ import annotations

import gzip
import io
import pickle
import sys
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest

from axynq.emulator import load_model
from axynq.emulator.errors import ModelError
from axynq.emulator.model.tflite_reader import parse_model

LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a2146\nsize 300568\n"


def zip_of(*names: str) -> bytes:
    whole = io.BytesIO()
    with zipfile.ZipFile(whole, "w") as archive:
        for name in names:
            archive.writestr(name, b"content")
    return whole.getvalue()


def tar() -> bytes:
    whole = io.BytesIO()
    with tarfile.open(fileobj=whole, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("model.tflite"))
    return whole.getvalue()


def message(number: int, content: bytes) -> bytes:
    """A field of a protobuf message."""
    return bytes([number << 3 | 2, len(content)]) + content


ONNX = b"\x08\x08" + message(2, b"pytorch") + message(7, b"graph....") + message(8, b"\x10\x11")
SAVED_MODEL = b"\x08\x01" + message(2, b"a meta graph with its nodes")


@pytest.mark.parametrize(
    ("content", "kind", "cure"),
    [
        (SAVED_MODEL, "saved_model.pb", "full integer quantisation"),
        (zip_of("metadata.json", "config.json", "model.weights.h5"), "a Keras network", "convert"),
        (b"\x89HDF\r\n\x1a\n" + bytes(99), "an HDF5 file", "convert it"),
        (zip_of("net/data.pkl", "net/data/0"), "a PyTorch network", "export it"),
        (zip_of("net/archive_format", "net/data/0"), "a float PyTorch network", "axynq quantise"),
        (pickle.dumps({"weights": [1.0] * 9}, protocol=2), "a Python pickle", "export it"),
        (zip_of("x.npy", "y.npy"), "a numpy archive", "--data"),
        (zip_of("m/saved_model.pb", "m/variables/v"), "a TensorFlow SavedModel", "convert it"),
        (zip_of("model.tflite"), "a zip archive", "unpack it"),
        (tar(), "a tar archive", "unpack it"),
        (b"PK\x03\x04" + bytes(99), "a damaged zip archive", "unpack it"),
        (b"\x18\0\0\0ORTM" + bytes(99), "onnxruntime's own format", "give the .onnx file it was"),
        (gzip.compress(bytes(99), mtime=0), "a gzip archive", "unpack it"),
        (b"\n<!DOCTYPE html>\n<html>...</html>", "a web page", "download the file itself"),
        (b"#include <x.h>\nconst unsigned char g_model[] = {0x1c,", "C source", "give the .tflite"),
        (b"AXYNQ\0" + bytes(99), "a compiled program", "axynq run"),
        (b"just some notes, no network", "a text file", "not a TFLite network"),
    ],
    ids=lambda value: value if isinstance(value, str) else "content",
)
def test_what_a_file_is(tmp_path: Path, content: bytes, kind: str, cure: str) -> None:
    path = tmp_path / "model.tflite"  # its content tells, not its name
    path.write_bytes(content)
    with pytest.raises(ModelError) as caught:
        load_model(path)
    text = str(caught.value)
    assert text.startswith("'model.tflite' is not a TFLite model")
    assert kind in text
    assert cure in text


@pytest.mark.parametrize(
    "content",
    [b"\x08\x01" + message(3, b"neither of both"), b"\x08" + b"\xff" * 20],
    ids=["other fields", "a number without end"],
)
def test_messages_of_other_programs(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "model.tflite"
    path.write_bytes(content)
    with pytest.raises(ModelError, match="lacks the identifier 'TFL3'$"):
        load_model(path)


def test_an_incomplete_installation_is_no_missing_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`pip install tflite` would not help."""
    reader = "axynq.emulator.file_formats.tflite_reader"
    monkeypatch.setitem(sys.modules, reader, None)
    monkeypatch.delattr("axynq.emulator.file_formats.tflite_reader", raising=False)
    (tmp_path / "m.tflite").touch()
    with pytest.raises(ModuleNotFoundError, match=reader):
        load_model(tmp_path / "m.tflite")


@pytest.mark.parametrize("seed", range(20))
def test_bytes_that_are_nothing(tmp_path: Path, seed: int) -> None:
    rng = np.random.default_rng(seed)
    content = rng.integers(0, 256, 500).astype(np.uint8)
    content[:2] = [(8, 1), (8, 8), (0x50, 0x4B), (128, 9)][seed % 4]
    path = tmp_path / "model.tflite"
    path.write_bytes(content.tobytes())
    with pytest.raises(ModelError, match="lacks the identifier 'TFL3'$"):
        load_model(path)


def test_an_empty_file(tmp_path: Path) -> None:
    (tmp_path / "m.tflite").touch()
    with pytest.raises(ModelError, match="has only 0 bytes"):
        load_model(tmp_path / "m.tflite")


def test_folders(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"is a folder: give a \.tflite file"):
        load_model(tmp_path)
    (tmp_path / "m.tflite").touch()
    with pytest.raises(ModelError, match=r"one of the networks inside, such as .*m\.tflite"):
        load_model(tmp_path)
    (tmp_path / "saved_model.pb").touch()
    with pytest.raises(ModelError, match="is a TensorFlow SavedModel folder: .*convert it"):
        load_model(tmp_path)


def test_the_content_of_an_onnx_network() -> None:
    with pytest.raises(ModelError, match=r"an ONNX network: axynq\.emulator\.load_model reads it"):
        parse_model(ONNX)


def test_what_git_lfs_has_not_fetched(tmp_path: Path) -> None:
    path = tmp_path / "model.tflite"
    path.write_bytes(LFS)
    for read in (lambda: load_model(path), lambda: parse_model(LFS)):
        with pytest.raises(ModelError, match=r"a Git LFS pointer, .*git lfs pull"):
            read()
