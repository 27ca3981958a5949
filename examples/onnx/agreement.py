# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""Compares a quantised ONNX network on axynq with the same network on onnxruntime.

    pip install axynq[onnx,images] onnxruntime
    python examples/onnx/agreement.py int8.onnx --data images.npz

`--data` is what `axynq evaluate` takes. Says how many int8 outputs differ and by how much, how many
classes agree, and the accuracy of both.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from axynq.emulator import Emulator, load_model
from axynq.emulator.datasets import load_dataset, quantise_examples
from axynq.emulator.model.interface import as_file_takes


def of_onnxruntime(path: Path, x: np.ndarray) -> np.ndarray:
    """The file's own output for inputs of the file's own type, channels first."""
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return np.concatenate([session.run(None, {name: image[None]})[0] for image in x])


def channels_first(x: np.ndarray) -> np.ndarray:
    return x.transpose(0, 3, 1, 2) if x.ndim == 4 else x


def channels_last(x: np.ndarray) -> np.ndarray:
    return x.transpose(0, 2, 3, 1) if x.ndim == 4 else x


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("model", type=Path, help="a quantised ONNX network")
    parser.add_argument("--data", type=Path, required=True, help="labelled images")
    parser.add_argument("--limit", type=int, default=1000, help="so many of them")
    parser.add_argument("--plan", default="exact", help="multipliers, such as roup:1,4")
    options = parser.parse_args()
    model = load_model(options.model)
    for note in model.notes:
        print(note)
    data = load_dataset(options.data).evenly(options.limit)
    x = quantise_examples(model.input, data.x)
    ours = Emulator(model, options.plan).run(x).astype(np.int64)
    theirs = of_onnxruntime(options.model, channels_first(as_file_takes(model.input, x)))
    output = model.output
    steps = channels_last(theirs)
    if theirs.dtype.kind == "f":
        steps = np.rint(steps / np.float32(output.scale)).astype(np.int64) + output.zero_point
    elif theirs.dtype == np.uint8:
        steps = steps.astype(np.int64) - 128
    difference = np.abs(ours - np.clip(steps, -128, 127).reshape(ours.shape))
    first, second = (each.reshape(len(x), -1).argmax(axis=1) for each in (ours, steps))
    print(f"outputs that differ: {(difference > 0).mean():.2%}, by {difference.max()} at most")
    print(f"classes that agree: {(first == second).mean():.2%} of {len(x)}")
    print(f"accuracy: {(first == data.y).mean():.2%} here, {(second == data.y).mean():.2%} there")


if __name__ == "__main__":
    main()
