# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""What a file is that is no TFLite network, found by its content, and what to do with it."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator
from pathlib import Path

CONVERT = (
    "axynq takes int8 .tflite files: convert it with TensorFlow Lite's converter and full integer "
    "quantisation (docs/data.md shows how), or without, and use `axynq quantise`"
)
_FROM_TORCH = (
    "load it in Python and export it (torch.export.save) for `axynq quantise`, or give the module "
    "to axynq.emulator.from_torch"
)
_UNPACK = "unpack it and give the .tflite file inside"

_STARTS: tuple[tuple[bytes, str, str], ...] = (
    (
        b"version https://git-lfs",
        "a Git LFS pointer, not the network itself",
        "fetch the file with `git lfs pull`, or download it from its repository's page",
    ),
    (b"\x89HDF\r\n\x1a\n", "an HDF5 file (Keras .h5)", CONVERT),
    (b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19", "a PyTorch file", _FROM_TORCH),
    (b"AXYNQ\0", "a compiled program", "run it with `axynq run`; the .tflite is wanted here"),
    (b"\x1f\x8b", "a gzip archive", _UNPACK),
    (b"\xfd7zXZ\0", "an xz archive", _UNPACK),
    (b"BZh", "a bzip2 archive", _UNPACK),
    (b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive", _UNPACK),
)
"""First bytes, what the file is, what to do."""

_ONNX_GRAPH, _SAVED_MODEL_GRAPH = 7, 2
_ONNX_FIELDS = {1, 2, 3, 4, 5, 6, 7, 8, 14, 20, 25, 26}


def foreign_file(content: bytes) -> str | None:
    """What a file is, and what to do, as the end of a sentence "FILE is …"; None: not known."""
    for start, kind, cure in _STARTS:
        if content.startswith(start):
            return f"{kind}: {cure}"
    if content.startswith(b"PK\x03\x04"):
        return _zip(content)
    if content[4:8] == b"ORTM":
        return "a network in onnxruntime's own format (.ort): give the .onnx file it was made from"
    if content[257:262] == b"ustar":
        return f"a tar archive: {_UNPACK}"
    if content[:1] == b"\x80" and content[1:2] in (b"\x02", b"\x03", b"\x04", b"\x05"):
        return f"a Python pickle (such as an old PyTorch .pt): {_FROM_TORCH}"
    protobuf = _protobuf(content)
    if protobuf is not None:
        return protobuf
    return _text(content)


def is_onnx(content: bytes) -> bool:
    """Whether a file is an ONNX network."""
    if content[:1] != b"\x08":
        return False
    try:
        fields = set(_protobuf_fields(content))
    except (IndexError, ValueError):
        return False
    return _ONNX_GRAPH in fields and fields <= _ONNX_FIELDS


def foreign_folder(folder: Path) -> str:
    """As :func:`foreign_file`, for a folder."""
    if (folder / "saved_model.pb").is_file():
        return f"a TensorFlow SavedModel folder: {CONVERT}"
    inside = sorted(path.name for path in folder.glob("*.tflite"))
    if inside:
        return f"a folder: give one of the networks inside, such as {folder / inside[0]}"
    return "a folder: give a .tflite file"


def _zip(content: bytes) -> str:
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            names = archive.namelist()
    except (zipfile.BadZipFile, ValueError, OSError, EOFError, NotImplementedError):
        return f"a damaged zip archive: {_UNPACK}"
    if "model.weights.h5" in names:
        return f"a Keras network (.keras): {CONVERT}"
    if any(
        name.endswith(("/archive_format", "serialized_exported_program.json")) for name in names
    ):
        return "a float PyTorch network (.pt2): `axynq quantise` makes an int8 .tflite of it"
    if any(name.endswith(("/data.pkl", "/constants.pkl")) for name in names):
        return f"a PyTorch network (.pt): {_FROM_TORCH}"
    if names and all(name.endswith(".npy") for name in names):
        return "a numpy archive (.npz): that is for --data, not a network"
    if any(name.endswith("saved_model.pb") for name in names):
        return f"a zip archive of a TensorFlow SavedModel: {CONVERT}"
    return f"a zip archive: {_UNPACK}"


def _protobuf(content: bytes) -> str | None:
    """ONNX networks and saved_model.pb; both begin with a small version number."""
    if content[:1] != b"\x08":
        return None
    if is_onnx(content):
        return "an ONNX network: axynq.emulator.load_model reads it from its file (docs/onnx.md)"
    try:
        fields = set(_protobuf_fields(content))
    except (IndexError, ValueError):
        return None
    if fields == {1, _SAVED_MODEL_GRAPH}:
        return f"the saved_model.pb of a TensorFlow SavedModel: {CONVERT}"
    return None


def _protobuf_fields(content: bytes) -> Iterator[int]:
    """Numbers of the fields of a protobuf message.

    Raises:
        IndexError, ValueError: it is none.
    """
    place = 0

    def varint() -> int:
        nonlocal place
        value = shift = 0
        while True:
            byte = content[place]
            place += 1
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value
            if shift > 63:
                raise ValueError

    while place < len(content):
        key = varint()
        if key & 7 == 0:
            varint()
        elif key & 7 == 2:
            length = varint()
            place += length
        else:
            raise ValueError
        yield key >> 3
    if place > len(content):
        raise IndexError


def _text(content: bytes) -> str | None:
    start = content[:512]
    try:
        text = start.decode("ascii").lstrip().lower()
    except UnicodeDecodeError:
        return None
    if not text or any(ord(c) < 32 and c not in "\t\r\n\f" for c in text):
        return None
    if text.startswith(("<!doctype html", "<html")):
        return "a web page: download the file itself (its raw form), not the page that shows it"
    if "unsigned char" in content[:20_000].decode("latin-1"):
        return "C source with a network in it: give the .tflite file that it was made from"
    return "a text file, not a TFLite network"
