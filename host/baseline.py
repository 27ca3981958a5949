# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""The same network on the processor: TFLite, as a board would run it without an accelerator."""

from __future__ import annotations

import importlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from axynq.emulator import files
from axynq.emulator.errors import DataError, ModelError, ToolError
from axynq.emulator.model.graph import Interface, Tensor
from axynq.emulator.model.interface import as_file_takes

PACKAGES = ("tflite_runtime.interpreter", "ai_edge_litert.interpreter")
"""In the order in which they are tried; the first is what boards have wheels for."""


class ProcessorBaseline:
    """A ``.tflite`` network in TFLite's interpreter, with its fast kernels.

    Args:
        path: the network; its input and output may be int8, uint8 or float32.
        source: the input that it is given, in the quantisation of the program it is compared with.
        threads: of the interpreter.

    Raises:
        ToolError: no interpreter is installed.
        ModelError: the interpreter refuses the network, or its input is not that of ``source``.
    """

    def __init__(self, path: Path, source: Tensor, threads: int = 1) -> None:
        self.package, module = _interpreter()
        self.threads = threads
        try:
            files.check_readable(path)
        except OSError as error:
            raise ModelError(f"model '{path}' cannot be read: {error.strerror}") from error
        try:
            self._interpreter = module.Interpreter(model_path=str(path), num_threads=threads)
            self._interpreter.allocate_tensors()
        except (ValueError, RuntimeError) as error:
            raise ModelError(f"TFLite cannot run '{path}': {error}") from error
        inputs = self._interpreter.get_input_details()
        outputs = self._interpreter.get_output_details()
        if len(inputs) != 1 or len(outputs) != 1:
            raise ModelError(
                f"'{path}' has {len(inputs)} inputs and {len(outputs)} outputs; the baseline runs "
                "networks with one of each"
            )
        (self._input,), (self._output,) = inputs, outputs
        self._source = replace(source, interface=self._interface(path, source))

    def _interface(self, path: Path, source: Tensor) -> Interface | None:
        """The type that the file takes, in place of ``source``."""
        given = np.dtype(self._input["dtype"])
        scale, zero_point = self._input["quantization"]
        if given == np.float32:
            return Interface(self._input["name"], "float32")
        if given == np.uint8:
            return Interface(self._input["name"], "uint8", float(scale), int(zero_point))
        if given != np.int8:
            raise ModelError(f"'{path}' takes {given}; the baseline runs int8, uint8 and float32")
        if (float(scale), int(zero_point)) != (source.scale, source.zero_point):
            raise ModelError(
                f"'{path}' takes inputs of scale {scale:g} and zero point {zero_point}, the "
                f"program of {source.scale:g} and {source.zero_point}: give the network that the "
                "program was compiled from"
            )
        return None

    def run(self, x: npt.NDArray[np.int8]) -> npt.NDArray[np.generic]:
        """The network's output, in the type that its file has, for int8 [images, *input shape].

        Where the file takes uint8 or float32, it gets the values that its QUANTIZE turns into
        ``x``.

        Raises:
            DataError: ``x`` has another shape.
        """
        shape = tuple(int(size) for size in self._input["shape"])
        if x.shape[1:] != shape[1:]:
            raise DataError(f"the baseline takes inputs of {shape[1:]}, not {x.shape[1:]}")
        outputs = [np.zeros((0, *self._output["shape"][1:]), self._output["dtype"])]
        # One at a time: what a batch's shape would need, not every network allows.
        for image in as_file_takes(self._source, x):
            self._interpreter.set_tensor(self._input["index"], image[None])
            self._interpreter.invoke()
            outputs.append(self._interpreter.get_tensor(self._output["index"]))
        return np.concatenate(outputs)


def _interpreter() -> tuple[str, Any]:
    for name in PACKAGES:
        try:
            return name.partition(".")[0], importlib.import_module(name)
        except ImportError:
            continue
    raise ToolError(
        "the baseline on the processor needs TFLite's interpreter: pip install tflite-runtime, or "
        "pip install ai-edge-litert"
    )
