# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""Quantised ONNX networks on the software board equal the emulator, hybrid programs included."""

from __future__ import annotations

import numpy as np
import pytest

from axynq.emulator import Emulator
from axynq.emulator.file_formats.onnx_reader import parse_onnx_model
from axynq.host import Accelerator, compile_program
from tests.emulator.onnx_networks import channels_last
from tests.emulator.test_onnx_networks import random_network

NETWORKS = [
    ["Conv", "HardSwish", "Shuffle", "Add"],
    ["Depthwise", "Gate", "Concat", "MaxPool"],
    ["Grouped", "ConvTranspose", "LeakyRelu", "Slice", "Mul"],
    ["Conv", "Relu", "DepthToSpace", "Pad", "Max", "Resize", "AveragePool"],
]


@pytest.mark.parametrize("steps", NETWORKS, ids="-".join)
def test_onnx_networks_on_the_board(steps: list[str]) -> None:
    net = random_network(steps, seed=3)
    model = parse_onnx_model(net.quantised(unsigned=len(steps) % 2 == 0).SerializeToString())
    x = model.input.batch(channels_last(net.samples(3)["x0"]))
    program = compile_program(model, "flam=exact|roup:1,4", "tiny4")
    with Accelerator("tiny4", device="software") as accelerator:
        result = accelerator.run(program, x)
    np.testing.assert_array_equal(result, Emulator(model, "flam=exact|roup:1,4").run(x))
