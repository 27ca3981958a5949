# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""TFLite's reference kernels: the golden of the numeric contract."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from axynq.emulator.model import graph


def interpreter(
    package: str, content: bytes, all_tensors: bool = False, kernels: str = "reference"
) -> Any:
    """An interpreter of ``tflite_runtime`` or ``ai_edge_litert`` with the reference kernels, or the
    default ones."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        module = pytest.importorskip(f"{package}.interpreter")
        made = module.Interpreter(
            model_content=content,
            experimental_op_resolver_type=(
                module.OpResolverType.BUILTIN_REF
                if kernels == "reference"
                else module.OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
            ),
            experimental_preserve_all_tensors=all_tensors,
        )
        made.allocate_tensors()
    return made


def run(package: str, content: bytes, x: graph.Int8Array) -> graph.Int8Array:
    """The network's output for a batch."""
    made = interpreter(package, content)
    source = made.get_input_details()[0]["index"]
    target = made.get_output_details()[0]["index"]
    outputs = []
    for image in x:
        made.set_tensor(source, image[None])
        made.invoke()
        outputs.append(made.get_tensor(target)[0].copy())
    return np.stack(outputs)


def run_all(
    package: str, content: bytes, inputs: Sequence[npt.NDArray[Any]]
) -> list[npt.NDArray[Any]]:
    """The outputs of a network with any number of inputs, for a batch of each."""
    return batch(interpreter(package, content), inputs)


def batch(made: Any, inputs: Sequence[npt.NDArray[Any]]) -> list[npt.NDArray[Any]]:
    """As :func:`run_all`, of an interpreter."""
    sources = [detail["index"] for detail in made.get_input_details()]
    targets = [detail["index"] for detail in made.get_output_details()]
    outputs: list[list[npt.NDArray[Any]]] = [[] for _ in targets]
    for images in zip(*inputs):
        for source, image in zip(sources, images):
            made.set_tensor(source, image[None])
        made.invoke()
        for collected, target in zip(outputs, targets):
            collected.append(made.get_tensor(target)[0].copy())
    return [np.stack(collected) for collected in outputs]
