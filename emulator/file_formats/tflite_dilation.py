# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""Dilated convolutions as old converters write them: SPACE_TO_BATCH_ND, a convolution of what lies
a step apart, and BATCH_TO_SPACE_ND."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import tflite

from axynq.emulator.file_formats.tflite_file import Node, TFLiteFile
from axynq.emulator.model.graph import Padding

_CODES = tflite.BuiltinOperator
_CONVOLUTIONS = (_CODES.CONV_2D, _CODES.DEPTHWISE_CONV_2D)


class Dilation(NamedTuple):
    """What the operators around a convolution make of it."""

    steps: tuple[int, int]
    around: Padding
    """Rows and columns that are padded; negative where some are cut off."""


def without_batches(
    file: TFLiteFile, nodes: Sequence[Node]
) -> tuple[list[Node], dict[int, Dilation]]:
    """The operators, of every three one that takes the first's input and gives the last's output;
    and by their places in the file what the others did."""
    readers = {i: [n for n in nodes if i in n.inputs] for n in nodes for i in n.outputs}
    left, found = [], {}
    gone: set[int] = set()
    replaced: dict[int, Node] = {}
    for node in nodes:
        if node.code != _CODES.SPACE_TO_BATCH_ND or len(node.outputs) != 1:
            continue
        layer = _only(readers[node.outputs[0]])
        if layer is None or layer.code not in _CONVOLUTIONS or len(layer.outputs) != 1:
            continue
        end = _only(readers[layer.outputs[0]])
        if end is None or end.code != _CODES.BATCH_TO_SPACE_ND or len(end.outputs) != 1:
            continue
        dilation = _dilation(file, node, end)
        if dilation is None or {node.outputs[0], layer.outputs[0]} & set(file.outputs):
            continue
        gone |= {node.place, end.place}
        replaced[layer.place] = layer._replace(
            inputs=(node.inputs[0], *layer.inputs[1:]), outputs=end.outputs
        )
        found[layer.place] = dilation
    for node in nodes:
        if node.place not in gone:
            left.append(replaced.get(node.place, node))
    return left, found


def _only(nodes: Sequence[Node]) -> Node | None:
    return nodes[0] if len(nodes) == 1 else None


def _dilation(file: TFLiteFile, start: Node, end: Node) -> Dilation | None:
    if len(start.inputs) < 3 or len(end.inputs) < 3 or min(*start.inputs, *end.inputs) < 0:
        return None
    if len(file.tensors[start.inputs[0]].shape) != 4:
        return None
    known = [file.tensors[i].data for i in (*start.inputs[1:3], *end.inputs[1:3])]
    blocks, paddings, same_blocks, crops = known
    if blocks is None or paddings is None or same_blocks is None or crops is None:
        return None
    if blocks.shape != (2,) or paddings.shape != (2, 2) or crops.shape != (2, 2):
        return None
    if blocks.tolist() != same_blocks.tolist():
        return None
    (top, bottom), (left, right) = (paddings.astype(np.int64) - crops).tolist()
    return Dilation((int(blocks[0]), int(blocks[1])), Padding(top, bottom, left, right))
