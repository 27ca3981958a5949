# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""A network cut into segments that can be computed one after the other."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import fields, replace
from itertools import pairwise

import numpy as np

from axynq.emulator.model.graph import Model, Operator, WeightedLayer


def segments(model: Model) -> tuple[Model, ...]:
    """The network as networks in a row, each of which takes the output of the one before.

    It is cut wherever a single tensor leads from what is done to what is left (a residual block
    stays together), and every segment has at least one weighted layer at its beginning or inside;
    operators that do not multiply go with the segment before them. Tensors keep their indices, and
    operators their names.
    """
    cuts: list[tuple[int, int]] = []  # operators before the cut, tensor that crosses it
    for k in range(1, len(model.operators)):
        if not isinstance(model.operators[k], WeightedLayer):
            continue
        crossing = _crossing(model, k)
        if len(crossing) == 1:
            cuts.append((k, crossing.pop()))
    if cuts and not any(isinstance(op, WeightedLayer) for op in model.operators[: cuts[0][0]]):
        cuts = cuts[1:]
    first, source = 0, model.input_index
    parts = []
    for k, tensor in [*cuts, (len(model.operators), model.output_index)]:
        parts.append(
            replace(
                model,
                operators=model.operators[first:k],
                inputs=(source,),
                outputs=(tensor,),
            )
        )
        first, source = k, tensor
    return tuple(parts)


def _crossing(model: Model, k: int) -> set[int]:
    """Tensors that exist before operator ``k`` and are still needed from there on."""
    before = {model.input_index, *(op.output for op in model.operators[:k])}
    needed = {i for op in model.operators[k:] for i in op.inputs} | {model.output_index}
    return before & needed


def stretches(model: Model) -> tuple[Model, ...]:
    """The network as networks in a row, each of which begins with a weighted layer and goes on to
    the next; what comes before the first layer is one without.

    Each takes what it reads of the inputs and of what those before it compute, and gives what those
    behind it read of it, and what is an output. Where all that it reads is constant, it takes that.
    Tensors keep their indices, and operators their names.
    """
    starts = [k for k, op in enumerate(model.operators) if isinstance(op, WeightedLayer)]
    bounds = sorted({0, *starts, len(model.operators)})
    parts = []
    for first, end in pairwise(bounds):
        operators = model.operators[first:end]
        computed = {op.output for op in operators}
        read = {index for op in operators for index in op.inputs} - computed
        given = read - set(model.constants) or read
        later = {index for op in model.operators[end:] for index in op.inputs}
        outputs = computed & (later | set(model.outputs)) or {operators[-1].output}
        constants = {k: values for k, values in model.constants.items() if k not in given}
        parts.append(
            replace(
                model,
                operators=operators,
                inputs=tuple(sorted(given)),
                outputs=tuple(sorted(outputs)),
                constants=constants,
            )
        )
    return tuple(parts)


def replace_layers(model: Model, layers: Sequence[WeightedLayer]) -> Model:
    """``model`` with the layers of the same names exchanged."""
    by_name = {layer.name: layer for layer in layers}
    return replace(model, operators=tuple(by_name.get(op.name, op) for op in model.operators))


def fingerprint(model: Model) -> str:
    """SHA-256 of everything in a network that its results depend on, in hex."""
    content = hashlib.sha256(repr((model.inputs, model.outputs)).encode())
    for tensor in model.tensors:
        content.update(repr((tensor.shape, tensor.scale, tensor.zero_point)).encode())
    for index, values in sorted(model.constants.items()):
        content.update(repr((index, values.shape)).encode() + values.tobytes())
    for op in model.operators:
        content.update(_operator_content(op))
    return content.hexdigest()


def _operator_content(op: Operator) -> bytes:
    parts = [type(op).__name__.encode()]
    for entry in fields(op):
        value = getattr(op, entry.name)
        if isinstance(value, np.ndarray):
            parts.append(str((value.dtype, value.shape)).encode() + value.tobytes())
        else:
            parts.append(repr(value).encode())
    return b"\0".join(parts)
