# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""Float networks made simpler: the same function, in the operators that int8 networks have.

Normalisations are folded into layers, activations become part of what they follow, tensors are not
turned where weights can be, and paddings are those that ``.tflite`` files have.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from axynq.emulator.model import graph
from axynq.emulator.model.graph import Padding
from axynq.emulator.model.windows import same_or_valid
from axynq.emulator.quantisation.float_network import (
    Affine,
    Filled,
    FloatLayer,
    FloatNetwork,
    FloatTensor,
    Origin,
    compacted,
)


def simplified(network: FloatNetwork) -> FloatNetwork:
    """The same function in fewer operators."""
    for step in (
        _without_turns, _weights_turned, _affine_folded, _affine_as_layers, _pads_merged,
        _activations_fused, _paddings_as_files_have_them,
    ):  # fmt: skip
        network = compacted(step(network))
    return _numbered(network)


_GROUP = re.compile(r"(.+?)_(\d+)(_group_\d+)$")


def _numbered(network: FloatNetwork) -> FloatNetwork:
    """Operators named after their kinds and places, and their outputs after them."""
    operators, tensors = [], list(network.tensors)
    groups: dict[str, int] = {}
    for place, op in enumerate(network.operators):
        group = _GROUP.fullmatch(op.name)
        if group is not None:  # a group's layers share the number of the first
            place = groups.setdefault(group[2], place)
            name = f"{group[1]}_{place}{group[3]}"
        else:
            name = f"{_kind(op)}_{place}"
        tensor = tensors[op.output]
        if tensor.name == op.name or "/" in tensor.name:
            tensors[op.output] = replace(tensor, name=name)
        operators.append(replace(op, name=name))
    return replace(network, operators=tuple(operators), tensors=tuple(tensors))


def _kind(op: graph.Operator) -> str:
    """What the operator was named after, unless it has become another."""
    if isinstance(op, graph.Reshape):
        return "reshape"
    if isinstance(op, (graph.Pad, Filled)):
        return "pad"
    return "depthwise" if op.name.startswith("affine") else re.sub(r"_\d+.*$", "", op.name)


class _Rewriter:
    """A network being changed, operator by operator."""

    def __init__(self, network: FloatNetwork) -> None:
        self.network = network
        self.tensors = list(network.tensors)
        self.operators: list[graph.Operator] = []
        self.replaced: dict[int, int] = {}
        self.made: dict[int, graph.Operator] = {}

    def inputs(self, op: graph.Operator) -> tuple[int, ...]:
        """Of an operator, as they are now."""
        return tuple(self.replaced.get(index, index) for index in op.inputs)

    def keep(self, op: graph.Operator) -> None:
        """Add an operator, whose inputs are as they are now."""
        self.operators.append(op)
        self.made[op.output] = op

    def tensor(self, name: str, shape: tuple[int, ...]) -> int:
        """Another tensor."""
        self.tensors.append(FloatTensor(name, shape))
        return len(self.tensors) - 1

    def alone(self, tensor: int) -> bool:
        """Whether only one operator reads a tensor of the network as it was."""
        return self.network.only_consumer(tensor) is not None

    def free(self, tensor: int) -> bool:
        """Whether nothing is said of what its int8 values stand for."""
        return self.tensors[tensor].quantisation is None

    def done(self) -> FloatNetwork:
        """The network."""
        outputs = tuple(self.replaced.get(index, index) for index in self.network.outputs)
        return replace(
            self.network, tensors=tuple(self.tensors), operators=tuple(self.operators),
            outputs=outputs,
        )  # fmt: skip


def _rewritten(
    network: FloatNetwork, change: Callable[[_Rewriter, graph.Operator], bool]
) -> FloatNetwork:
    """The network after ``change`` has been offered each operator, its inputs up to date; what it
    does not take (False) stays."""
    rewriter = _Rewriter(network)
    for op in network.operators:
        op = replace(op, inputs=rewriter.inputs(op))
        if not change(rewriter, op):
            rewriter.keep(op)
    return rewriter.done()


# --- turns ---------------------------------------------------------------------------------------


def _without_turns(network: FloatNetwork) -> FloatNetwork:
    """Transposes and reshapes one after another become one, and none where nothing changes."""

    def change(r: _Rewriter, op: graph.Operator) -> bool:
        if not isinstance(op, (graph.Transpose, graph.Reshape)):
            return False
        source, target = op.inputs[0], r.tensors[op.output].shape
        before = r.made.get(source)
        if not (r.free(op.output) and r.free(source)):
            return False
        if isinstance(op, graph.Transpose):
            if isinstance(before, graph.Transpose):
                turned = tuple(before.permutation[axis] for axis in op.permutation)
                op = replace(op, inputs=before.inputs, permutation=turned)
                source = op.inputs[0]
            long = [axis for axis in op.permutation if r.tensors[source].shape[axis] != 1]
            if long != sorted(long):
                r.keep(op)
                return True
            before = r.made.get(source)
            op = graph.Reshape(op.name, (source,), op.output)
        if isinstance(before, graph.Reshape):
            source = before.inputs[0]
        if r.tensors[source].shape == target and op.output not in network.outputs:
            r.replaced[op.output] = source
            return True
        r.keep(replace(op, inputs=(source,)))
        return True

    return _rewritten(network, change)


def _weights_turned(network: FloatNetwork) -> FloatNetwork:
    """A fully connected layer after a map that was turned and flattened: its weights are turned."""

    def change(r: _Rewriter, op: graph.Operator) -> bool:
        if not (isinstance(op, FloatLayer) and op.kind == "fully_connected"):
            return False
        path: list[graph.Operator] = []
        index = op.inputs[0]
        while r.alone(index) and r.free(index):
            before = r.made.get(index)
            if not isinstance(before, (graph.Transpose, graph.Reshape, graph.Lookup)):
                break
            path.insert(0, before)
            index = before.inputs[0]
            if isinstance(before, graph.Transpose):
                break
        if not (path and isinstance(path[0], graph.Transpose)):
            return False
        first = path[0]
        shape = r.tensors[index].shape
        order = np.arange(math.prod(shape), dtype=np.int64).reshape(shape)
        order = order.transpose(first.permutation).reshape(-1)
        for each in path:  # what stays is made anew, flat
            r.operators.remove(each)
        flat = r.tensor(f"{first.name}/flat", (math.prod(shape),))
        r.keep(graph.Reshape(first.name, (index,), flat))
        for each in path[1:]:
            if isinstance(each, graph.Lookup):
                target = r.tensor(r.tensors[each.output].name, (math.prod(shape),))
                r.keep(replace(each, inputs=(flat,), output=target))
                flat = target
        back = np.argsort(order)
        origin = op.origin
        if origin is not None:
            origin = replace(origin, places=origin.places[..., back])
        r.keep(replace(op, inputs=(flat,), weights=op.weights[..., back], origin=origin))
        return True

    return _rewritten(network, change)


# --- normalisations ------------------------------------------------------------------------------


def _affine_folded(network: FloatNetwork) -> FloatNetwork:
    """Normalisations become part of the layer before."""

    def change(r: _Rewriter, op: graph.Operator) -> bool:
        if not isinstance(op, Affine):
            return False
        layer = r.made.get(op.inputs[0])
        if (
            not isinstance(layer, FloatLayer)
            or layer.activation != "none"
            or layer.weight_scales is not None
            or not r.alone(op.inputs[0])
            or not r.free(op.inputs[0])
            or len(op.factors) != len(layer.bias)
        ):
            return False
        factors = op.factors.astype(np.float64)
        origin = layer.origin
        if origin is not None:
            known = replace(origin, factors=origin.factors * op.factors)
            # Two normalisations, or numbers that are none, have no one place to go back to.
            single = origin.normalisation is None and op.source is not None
            origin = replace(known, normalisation=op.source) if single else None
        r.operators.remove(layer)
        r.keep(
            replace(
                layer,
                output=op.output,
                weights=(layer.weights * factors[:, None, None, None]).astype(np.float32),
                bias=(layer.bias * factors + op.terms).astype(np.float32),
                origin=origin,
            )
        )
        return True

    return _rewritten(network, change)


def _affine_as_layers(network: FloatNetwork) -> FloatNetwork:
    """Normalisations that stand alone become depthwise layers of one tap."""

    def change(r: _Rewriter, op: graph.Operator) -> bool:
        if not isinstance(op, Affine):
            return False
        source, target = op.inputs[0], op.output
        shape = r.tensors[source].shape
        if len(shape) != 3:
            whole = (math.prod(shape[:-1]), 1, shape[-1])
            source = r.tensor(f"{op.name}/map", whole)
            r.keep(graph.Reshape(f"{op.name}_map", op.inputs, source))
            target = r.tensor(f"{op.name}/normalised", whole)
        weights, origin = op.factors[:, None, None, None], None
        if op.source is not None:
            ones, none = np.ones(len(op.factors), np.float32), np.zeros(0, np.int64)
            origin = Origin(None, none, ones, (0, len(ones)), normalisation=op.source)
        r.keep(
            FloatLayer(op.name, (source,), target, "depthwise", weights, op.terms, origin=origin)
        )
        if target != op.output:
            r.keep(graph.Reshape(f"{op.name}_back", (target,), op.output))
        return True

    return _rewritten(network, change)


# --- activations and paddings --------------------------------------------------------------------


_FUSED = ("relu", "relu6", "relu_n1_to_1")


def _activations_fused(network: FloatNetwork) -> FloatNetwork:
    """Activations become part of the operator before, where operators have them."""

    def change(r: _Rewriter, op: graph.Operator) -> bool:
        if not (isinstance(op, graph.Lookup) and op.kind in _FUSED):
            return False
        before = r.made.get(op.inputs[0])
        paired = isinstance(before, graph.Elementwise) and before.kind in (
            "add", "subtract", "multiply",
        )  # fmt: skip
        if not (paired or isinstance(before, (FloatLayer, graph.Add))):
            return False
        holder: Any = before
        if holder.activation != "none" or not r.alone(op.inputs[0]) or not r.free(op.inputs[0]):
            return False
        r.operators.remove(holder)
        r.keep(replace(holder, output=op.output, activation=op.kind))
        return True

    return _rewritten(network, change)


def _pads_merged(network: FloatNetwork) -> FloatNetwork:
    """Zeros around a map become the padding of the layer that alone reads it."""

    def change(r: _Rewriter, op: graph.Operator) -> bool:
        if not isinstance(op, FloatLayer) or op.kind == "fully_connected":
            return False
        pad = r.made.get(op.inputs[0])
        alone = r.alone(op.inputs[0]) and r.free(op.inputs[0])
        if not (isinstance(pad, graph.Pad) and alone):
            return False
        r.operators.remove(pad)
        padding = Padding(*(a + b for a, b in zip(pad.padding, op.padding)))
        r.keep(replace(op, inputs=pad.inputs, padding=padding))
        return True

    return _rewritten(network, change)


def _never_negative(op: graph.Operator | None) -> bool:
    """Whether zeros around its output change no maximum."""
    if isinstance(op, graph.Lookup):
        return op.kind in ("relu", "relu6", "relu_0_to_1", "logistic")
    return getattr(op, "activation", "none") in ("relu", "relu6")


def _paddings_as_files_have_them(network: FloatNetwork) -> FloatNetwork:
    """Paddings that are neither SAME nor VALID become operators of their own."""

    def change(r: _Rewriter, op: graph.Operator) -> bool:
        if isinstance(op, FloatLayer) and op.kind != "fully_connected":
            window = (op.weights.shape[1], op.weights.shape[2])
            dilation = op.dilation
        elif isinstance(op, graph.Pool) and op.kind == "max":
            window, dilation = op.window, (1, 1)
        else:
            return False
        shape = r.tensors[op.inputs[0]].shape
        p, size = op.padding, r.tensors[op.output].shape[:2]
        rows_columns = (shape[0], shape[1])
        if same_or_valid(rows_columns, window, op.stride, dilation, size, p) is not None:
            return False
        around = r.tensor(f"{op.name}/padded", p.around(shape))
        name = f"{op.name}_pad"
        if isinstance(op, graph.Pool) and not _never_negative(r.made.get(op.inputs[0])):
            before, after = (p.top, p.left, 0), (p.bottom, p.right, 0)
            r.keep(Filled(name, op.inputs, around, before, after, -math.inf))
        else:
            r.keep(graph.Pad(name, op.inputs, around, p))
        r.keep(replace(op, inputs=(around,), padding=Padding()))
        return True

    return _rewritten(network, change)
