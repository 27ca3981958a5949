"""The same network on the processor: TFLite, as a board would run it without an accelerator."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from axynq.emulator.errors import DataError, ModelError, ToolError

PACKAGES = ("tflite_runtime.interpreter", "ai_edge_litert.interpreter")
"""In the order in which they are tried; the first is what boards have wheels for."""


class ProcessorBaseline:
    """A ``.tflite`` network in TFLite's interpreter, with its fast kernels.

    Args:
        path: the network.
        threads: of the interpreter.

    Raises:
        ToolError: no interpreter is installed.
        ModelError: the interpreter refuses the network.
    """

    def __init__(self, path: Path, threads: int = 1) -> None:
        self.package, module = _interpreter()
        self.threads = threads
        try:
            self._interpreter = module.Interpreter(model_path=str(path), num_threads=threads)
            self._interpreter.allocate_tensors()
        except (ValueError, RuntimeError) as error:
            raise ModelError(f"TFLite cannot run '{path}': {error}") from error
        (self._input,) = self._interpreter.get_input_details()
        (self._output,) = self._interpreter.get_output_details()

    def run(self, x: npt.NDArray[np.int8]) -> npt.NDArray[np.int8]:
        """The network's output for int8 [images, *input shape].

        Raises:
            DataError: ``x`` has another shape.
        """
        shape = tuple(int(size) for size in self._input["shape"])
        if x.shape[1:] != shape[1:]:
            raise DataError(f"the baseline takes inputs of {shape[1:]}, not {x.shape[1:]}")
        outputs = [np.zeros((0, *self._output["shape"][1:]), np.int8)]
        for image in x:  # one at a time: what a batch's shape would need, not every network allows
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
