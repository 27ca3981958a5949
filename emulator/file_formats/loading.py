# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""Reads quantised networks of all supported formats, recognised by the file's content."""

from __future__ import annotations

from pathlib import Path

from axynq.emulator import files
from axynq.emulator.file_formats import foreign
from axynq.emulator.model import graph


def load_model(path: str | Path) -> graph.Model:
    """Read an int8 network from a file.

    Args:
        path: a ``.tflite`` file, or an ONNX file with quantised operators (QDQ or QOperator), which
            needs the package ``onnx``. The format is recognised by the content.

    Returns:
        The network. Feature maps have channels last, whatever the file has. QUANTIZE and DEQUANTIZE
            at the ends are left out. Inputs and outputs are the int8 tensors behind them, and their
            ``interface`` records what the file has there. ``notes`` lists what else was changed or
            left out.

    Raises:
        ModelError: the file does not exist, is damaged, is not an int8 model, or uses operators
            or options that are not supported. The message lists all of them.
        ToolError: the package that reads the format is not installed.

    Examples:
        >>> model = load_model("models/digits_int8.tflite")
        >>> [layer.name for layer in model.layers]
        ['conv_0', 'depthwise_1', 'conv_2', 'conv_4', 'conv_5', 'fully_connected_9']
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
    """Whether a file is an ONNX network: by its content, or by its name if the content is not
    conclusive."""
    try:
        content = files.read_bytes(path)
    except OSError:
        return path.suffix.lower() == ".onnx" and files.is_file(path)
    if foreign.is_onnx(content):
        return True
    unknown = content[4:8] != b"TFL3" and foreign.foreign_file(content) is None
    return unknown and path.suffix.lower() == ".onnx" and len(content) > 0
