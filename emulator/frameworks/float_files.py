# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""Float networks from the files of all supported frameworks."""

from __future__ import annotations

from pathlib import Path

from axynq.emulator.errors import ModelError
from axynq.emulator.file_formats.loading import is_onnx
from axynq.emulator.quantisation.float_network import FloatNetwork


def load_float_network(path: str | Path) -> FloatNetwork:
    """Read a float network, to be quantised by :func:`quantise`.

    Args:
        path: a ``.pt2`` file (``torch.export.save``), an ``.onnx`` file, or a ``.tflite`` file that
            was converted without quantisation.

    Returns:
        The network in real numbers. Feature maps have channels last, whatever the file has.

    Raises:
        ModelError: the file cannot be read, is of another kind, or has operators that int8 networks
            do not have. The message lists them.
        ToolError: the package that reads the file is not installed.

    Examples:
        >>> network = load_float_network("float.onnx")
        >>> model = quantise(network, x.transpose(0, 2, 3, 1)).model
    """
    path = Path(path)
    kind = path.suffix.lower()
    if kind == ".pt2":
        from axynq.emulator.frameworks.pytorch import require_torch

        require_torch()
        from axynq.emulator.frameworks.torch_import import load_program

        return load_program(path)
    if kind == ".tflite":
        from axynq.emulator.frameworks.tflite_float import load_float_tflite

        return load_float_tflite(path)
    if is_onnx(path):
        from axynq.emulator.frameworks.onnx_float import load_float_onnx

        return load_float_onnx(path)
    if kind in (".pt", ".pth"):
        raise ModelError(
            f"'{path}' holds weights or a pickled module, and what it computes is in Python: load "
            "it there, and use from_torch or torch.export.save (docs/pytorch.md)"
        )
    if kind in (".h5", ".keras"):
        raise ModelError(
            f"'{path}' is a Keras model: convert it with tf.lite.TFLiteConverter, without "
            "quantisation, to a float .tflite"
        )
    raise ModelError(
        f"'{path}' is no float network that is known: give a .onnx, a .pt2 (torch.export.save) or "
        "a float .tflite"
    )
