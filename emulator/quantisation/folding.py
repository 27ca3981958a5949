# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""What a float network computes of constants alone, computed once."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from axynq.emulator.errors import ModelError
from axynq.emulator.model import graph
from axynq.emulator.quantisation.float_network import FloatNetwork, compacted
from axynq.emulator.quantisation.forward import evaluate


def folded(network: FloatNetwork) -> FloatNetwork:
    """The same network without operators all of whose inputs are constants: their results are
    constants in turn. Inputs and outputs stay in their order.

    Raises:
        ModelError: an output follows from constants alone.
    """
    constants, operators = dict(network.constants), []
    for op in network.operators:
        known = [index in constants for index in op.inputs]
        if isinstance(op, graph.Add) and any(known):  # it is of computed tensors alone
            op = graph.Elementwise(op.name, op.inputs, op.output, "add", op.activation)
        if not all(known):
            operators.append(op)
            continue
        result = evaluate(network, op, [constants[index][None] for index in op.inputs])
        constants[op.output] = np.asarray(result[0], np.float32)
    for index in network.outputs:
        if index in constants:
            name = network.tensors[index].name
            raise ModelError(f"output '{name}' of '{network.name}' follows from constants alone")
    if len(operators) == len(network.operators):
        return network
    return compacted(replace(network, operators=tuple(operators), constants=constants))
