"""Reads a quantised network of any format that is known, told apart by the file's content."""

from __future__ import annotations

from pathlib import Path

from axynq.emulator import files
from axynq.emulator.file_formats import foreign
from axynq.emulator.model import graph


def load_model(path: str | Path) -> graph.Model:
    """Read an int8 network: a ``.tflite`` file, or an ONNX file with quantised operators (QDQ or
    QOperator), which needs the package ``onnx``.

    Feature maps have channels last in the model, whatever the file has. Quantisation at the very
    input and output is left out: the model's input and output are the int8 tensors behind it, and
    remember what the file has there.

    Raises:
        ModelError: the file does not exist, is damaged, is not an int8 model, or uses operators
            or options that are not supported. The message names all offences of a kind.
        ToolError: the package that reads the format is not installed.
    """
    path = Path(path)
    if is_onnx(path):
        from axynq.emulator.file_formats.onnx_reader import load_onnx_model

        return load_onnx_model(path)
    try:
        from axynq.emulator.file_formats import tflite_reader
    except ModuleNotFoundError as error:  # boards run compiled programs without these packages
        if error.name not in ("tflite", "flatbuffers"):
            raise
        from axynq.emulator.file_formats import no_tflite

        return no_tflite.load_model(path)
    return tflite_reader.load_model(path)


def is_onnx(path: Path) -> bool:
    """Whether a file is an ONNX network, by its content, or by its name where the content says
    nothing."""
    try:
        content = files.read_bytes(path)
    except OSError:
        return path.suffix.lower() == ".onnx" and files.is_file(path)
    if foreign.is_onnx(content):
        return True
    unknown = content[4:8] != b"TFL3" and foreign.foreign_file(content) is None
    return unknown and path.suffix.lower() == ".onnx" and len(content) > 0
