# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""What the array computes for a step of the network, wherever its feature maps are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from axynq.emulator.errors import ProgramError
from axynq.emulator.model import graph
from axynq.emulator.model.graph import INT8_MAX, INT8_MIN, activation_bounds
from axynq.emulator.model.quantisation import add_factors, layer_factors, mean_factor
from axynq.emulator.plan import SKIP, LayerCodes
from axynq.host import isa
from axynq.host.compiler.blocks import Block, divide
from axynq.host.compiler.filters import (
    PASS_THROUGH,
    Filters,
    Fold,
    Kernel,
    allowed_lanes,
    choose_fold,
)
from axynq.host.compiler.grouped import Grouped
from axynq.host.compiler.lowering import FeatureMap, Lowered, Part, Step
from axynq.host.compiler.subpixels import SubPixels
from axynq.host.compiler.tables import (
    average_factor,
    average_table,
    lookup_table,
    operand_table,
)
from axynq.host.isa import Opcode
from axynq.host.overlay import Overlay

Table = npt.NDArray[np.int32]


@dataclass(frozen=True)
class Window:
    """Geometry of a sliding window; the default sees one position."""

    kernel: tuple[int, int] = (1, 1)
    stride: tuple[int, int] = (1, 1)
    dilation: tuple[int, int] = (1, 1)
    top: int = 0
    left: int = 0

    def leaves(self, source: FeatureMap, target: FeatureMap) -> bool:
        """Whether a window reaches beyond the map."""
        bottom = (target.rows - 1) * self.stride[0] - self.top + self.kernel[0]
        right = (target.columns - 1) * self.stride[1] - self.left + self.kernel[1]
        return max(self.top, self.left) > 0 or bottom > source.rows or right > source.columns

    def farthest(self, fold: Fold, target: FeatureMap) -> int:
        """The last row or column that a window sees, inside the map or beyond it, those included
        that fill up the last fold."""
        ends = (
            ((target.rows, fold.rows), (target.columns, fold.columns)),
            zip(self.kernel, self.stride, self.dilation, (self.top, self.left)),
        )
        return max(
            (outputs - 1) * stride + (-(-kernel // taps) * taps - 1) * dilation - before
            for (outputs, taps), (kernel, stride, dilation, before) in zip(*ends)
        )

    def most_positions(self, source: FeatureMap, target: FeatureMap) -> int:
        """Positions inside the map of the window that has most."""
        sizes = ((source.rows, target.rows, self.top), (source.columns, target.columns, self.left))
        most = 1
        for kernel, stride, (inputs, outputs, padding) in zip(self.kernel, self.stride, sizes):
            firsts = [output * stride - padding for output in range(outputs)]
            most *= max(min(first + kernel, inputs) - max(first, 0) for first in firsts)
        return most


@dataclass(frozen=True)
class Layer:
    """A step as the array sees it."""

    name: str
    source: FeatureMap
    target: FeatureMap
    window: Window
    fold: Fold
    filters: Filters = field(repr=False)
    tables: Table | None = field(repr=False)
    """int32 [2, TABLE_ENTRIES], where it has tables."""
    blocks: tuple[Block, ...]
    """Its filters, a phase each."""
    numbers: Mapping[str, int]
    """Fields of the descriptor: the opcode and the numbers."""

    adds_map: bool = False
    """Whether it adds another map to what the lanes compute."""
    part: Part | None = None
    """Where in a larger map in memory the output is, if it is."""
    whole_words: int = 0
    """Of that map."""

    @property
    def adds_nothing(self) -> bool:
        """Whether what the lanes compute goes through a table alone: the other operand is whatever
        lies in the third memory, which nothing may be written to meanwhile."""
        return self.has_residual and not self.adds_map

    @property
    def stored_pixel_words(self) -> int:
        """From a pixel of the output in memory to the next."""
        return self.target.pixel_words if self.part is None else self.part.pixel_words

    @property
    def stored_row_words(self) -> int:
        """From a row of the output in memory to the next."""
        if self.part is None or self.part.row_words is None:
            return self.target.columns * self.stored_pixel_words
        return self.part.row_words

    @property
    def stored_image_words(self) -> int:
        """Of the output in memory, with what it is part of."""
        return self.target.image_words if self.part is None else self.whole_words

    @property
    def first_stored_word(self) -> int:
        """Of the output in memory, in that of which it is part."""
        return 0 if self.part is None else self.part.first_word

    @property
    def has_rows_apart(self) -> bool:
        """Whether its rows in memory have others between them: they are stored one at a time."""
        return self.part is not None and self.part.row_words is not None

    @property
    def has_residual(self) -> bool:
        """Whether what the lanes compute goes through tables: another map is added, or nothing."""
        return bool(self.numbers["has_residual"])


class Layers:
    """The layers of a network under a plan."""

    def __init__(
        self,
        model: graph.Model,
        codes: dict[str, LayerCodes],
        lowered: Lowered,
        overlay: Overlay,
    ) -> None:
        self.model = model
        self.codes = codes
        self.lowered = lowered
        self.overlay = overlay
        self._known: dict[tuple[int, bool], Layer] = {}

    def divided(self, number: int, block_words: int) -> Layer:
        """A step as a layer whose blocks have at most so many words of each output pixel."""
        layer = self.layer(number, folded=False)
        return replace(layer, blocks=self._blocks(self.lowered.steps[number], layer, block_words))

    def layer(self, number: int, folded: bool) -> Layer:
        """A step as a layer.

        Args:
            number: of the step.
            folded: whether a word may take several taps: only where the input comes from memory.

        Raises:
            PlanError: a filter needs multipliers that no lane has together.
            ProgramError: the accelerator cannot do it.
        """
        if (number, folded) not in self._known:
            layer = self._layer(self.lowered.steps[number], folded)
            self._known[number, folded] = layer
            if folded and layer.fold.taps == 1:
                self._known[number, False] = layer
        return self._known[number, folded]

    def _layer(self, step: Step, folded: bool) -> Layer:
        maps = self.lowered.maps
        source, target = maps[step.source], _oriented(self.model, step, maps[step.output])
        filters, window = self._filters(step, source, target)
        fold = Fold()
        if folded and filters.kernel is not None and not filters.kernel.depthwise:
            _, rows, columns, channels = filters.kernel.weights.shape
            inputs = self.overlay.array.inputs
            fold = choose_fold(rows, columns, channels, inputs, window.dilation)
        if window.farthest(fold, target) > isa.FARTHEST:
            raise ProgramError(
                f"layer '{step.name}' is too large: its windows reach beyond row or column "
                f"{isa.FARTHEST} of the map"
            )
        numbers, tables = self._numbers(step, source, target, window)
        part = self.lowered.parts.get(self.lowered.home[step.output])
        layer = Layer(
            step.name, source, target, window, fold, filters, tables, (), numbers,
            adds_map=step.sum is not None,
            part=part,
            whole_words=0 if part is None else maps[part.whole].image_words,
        )  # fmt: skip
        return replace(layer, blocks=self._blocks(step, layer))

    def _blocks(self, step: Step, layer: Layer, most_words: int | None = None) -> tuple[Block, ...]:
        return divide(
            layer.name,
            allowed_lanes(
                step.grouped.name if step.grouped else step.operator.name,
                layer.filters,
                self.overlay,
            ),
            _group_vectors(layer, self.overlay.window_taps),
            self.overlay,
            in_passes=layer.numbers["opcode"] == Opcode.CONVOLUTION,
            most_words=most_words,
        )

    # --- filters and windows ---------------------------------------------------------------------

    def _filters(
        self, step: Step, source: FeatureMap, target: FeatureMap
    ) -> tuple[Filters, Window]:
        operator = step.operator
        if step.grouped is not None:
            return self._grouped(step.grouped, source)
        if step.subpixels is not None:
            return self._subpixels(step.subpixels)
        if isinstance(operator, graph.WeightedLayer):
            kernel, window = self._kernel(operator, source)
            if step.pad is not None:
                padding = step.pad.padding
                window = replace(
                    window, top=window.top + padding.top, left=window.left + padding.left
                )
            return Filters(operator.bias, layer_factors(self.model, operator), kernel), window
        if isinstance(operator, graph.Pool):
            padding = operator.padding
            window = Window(operator.window, operator.stride, top=padding.top, left=padding.left)
            if operator.kind == "average" and not window.leaves(source, target):
                factor = average_factor(operator.window[0] * operator.window[1])
                return Filters.unmultiplied(source.channels, factor), window
            return Filters.unmultiplied(source.channels), window
        if isinstance(operator, (graph.Mean, graph.Reduce)):
            factor = mean_factor(self.model, operator)
            window = Window((source.rows // target.rows, source.columns // target.columns))
            return Filters.unmultiplied(source.channels, factor), window
        if isinstance(operator, graph.Pad):
            padding = operator.padding
            return Filters.unmultiplied(source.channels), Window(top=padding.top, left=padding.left)
        if step.is_copy or step.is_tabulated or operator is step.sum:
            return Filters.unmultiplied(source.channels), Window()
        raise ProgramError(f"the accelerator has no operation for '{operator.name}'")

    def _grouped(self, group: Grouped, source: FeatureMap) -> tuple[Filters, Window]:
        """As one convolution."""
        weights, codes = group.whole(source.channels, self.codes)
        bias = np.concatenate([layer.bias for layer in group.layers])
        factors = [f for layer in group.layers for f in layer_factors(self.model, layer)]
        window = _window(group.layers[0], weights)
        return Filters(bias, factors, Kernel(weights, codes, False)), window

    def _subpixels(self, which: SubPixels) -> tuple[Filters, Window]:
        """As a convolution of the map that is not spread."""
        layer = which.layer
        weights, codes = which.kernel(self.codes[layer.name])
        rows, columns = which.taps
        window = Window((rows.size, columns.size), top=rows.padding, left=columns.padding)
        kernel = Kernel(weights, codes, False)
        return Filters(layer.bias, layer_factors(self.model, layer), kernel), window

    def _kernel(self, layer: graph.WeightedLayer, source: FeatureMap) -> tuple[Kernel, Window]:
        """As the weights of a convolution, or of a depthwise one with a channel per filter."""
        weights, codes, depthwise = layer.kernel, self.codes[layer.name], False
        if isinstance(layer, graph.FullyConnected):
            # On a feature map this is a convolution as large as the map.
            shape = (len(weights), source.rows, source.columns, source.channels)
            weights = weights.reshape(shape)
            codes = LayerCodes(codes.multipliers, codes.codes.reshape(shape))
            return Kernel(weights, codes, False), Window((source.rows, source.columns))
        assert isinstance(layer, (graph.Convolution, graph.DepthwiseConvolution))
        if isinstance(layer, graph.DepthwiseConvolution):
            depthwise = len(weights) == source.channels
            if not depthwise:
                weights, codes = _widened(weights, codes, source.channels)
        return Kernel(weights, codes, depthwise), _window(layer, weights)

    # --- numbers ---------------------------------------------------------------------------------

    def _numbers(
        self, step: Step, source: FeatureMap, target: FeatureMap, window: Window
    ) -> tuple[dict[str, int], Table | None]:
        """Opcode and numbers of the descriptor, and the tables."""
        operator = step.operator
        # Where another operator follows, the tensor in between.
        computed = operator.output
        numbers: dict[str, int] = {
            "opcode": Opcode.SUM,
            "has_residual": 0,
            "source_zero_point": self._zero_point(step.source),
            "pre_add_zero_point": self._zero_point(computed),
            "pre_add_low": INT8_MIN,
            "pre_add_high": INT8_MAX,
        }
        if step.grouped is not None:
            operator = step.grouped.layers[0]
        if isinstance(operator, (graph.WeightedLayer, graph.Pool)):
            low, high = activation_bounds(operator.activation, self.model.tensors[computed])
            numbers |= {"pre_add_low": low, "pre_add_high": high}
        if isinstance(operator, graph.WeightedLayer):
            depthwise = isinstance(operator, graph.DepthwiseConvolution) and (
                len(operator.kernel) == source.channels
            )
            numbers["opcode"] = Opcode.DEPTHWISE if depthwise else Opcode.CONVOLUTION
        elif isinstance(operator, graph.Pool) and operator.kind == "max":
            numbers["opcode"] = Opcode.MAXIMUM
        elif isinstance(operator, graph.Pool):
            # The average of the values themselves: halves are rounded away from zero.
            numbers |= {"opcode": Opcode.AVERAGE, "source_zero_point": 0, "pre_add_zero_point": 0}
            if window.leaves(source, target):
                return numbers, _average_table(step, window.most_positions(source, target))
        elif isinstance(operator, graph.Pad):
            # Outside the map activations are zero, which is the zero point.
            numbers["source_zero_point"] = numbers["pre_add_zero_point"]
        elif step.is_tabulated or operator is step.sum:
            numbers["pre_add_zero_point"] = numbers["source_zero_point"]
            computed = step.source
        if step.sum is not None:
            return self._sum(numbers, step.sum, computed)
        if step.table is not None:
            # Added to nothing, by a factor that changes nothing.
            return numbers | {
                "has_residual": 1,
                "destination_multiplier": PASS_THROUGH.multiplier,
                "destination_shift": PASS_THROUGH.shift,
                "clamp_low": INT8_MIN,
                "clamp_high": INT8_MAX,
            }, lookup_table(self.model, step.table)
        return numbers, None

    def _zero_point(self, index: int) -> int:
        return self.model.tensors[index].zero_point

    def _sum(
        self, numbers: dict[str, int], op: graph.Operator, computed: int
    ) -> tuple[dict[str, int], Table]:
        """With another map added to what the lanes compute, or subtracted from it or it from that:
        alone, or behind a layer."""
        assert isinstance(op, (graph.Add, graph.Elementwise))
        factors = add_factors(self.model, op)
        zero_points = [self._zero_point(index) for index in op.inputs]
        operands = [operand_table(*each) for each in zip(zero_points, factors)]
        if isinstance(op, graph.Elementwise) and op.kind == "subtract":
            operands[1] = -operands[1]
        if op.inputs[0] != computed:
            operands.reverse()
        low, high = activation_bounds(op.activation, self.model.tensors[op.output])
        total = factors[2]
        return numbers | {
            "has_residual": 1,
            "destination_zero_point": self._zero_point(op.output),
            "destination_multiplier": total.multiplier,
            "destination_shift": total.shift,
            "clamp_low": low,
            "clamp_high": high,
        }, np.stack(operands)


def _window(
    layer: graph.Convolution | graph.DepthwiseConvolution, weights: graph.Int8Array
) -> Window:
    """Where a kernel [filters, rows, columns, channels] is applied."""
    return Window(
        (weights.shape[1], weights.shape[2]),
        layer.stride,
        layer.dilation,
        layer.padding.top,
        layer.padding.left,
    )


def _oriented(model: graph.Model, step: Step, target: FeatureMap) -> FeatureMap:
    """The output of a step, pixels below each other where it is one for each row of the input."""
    op = step.operator
    if isinstance(op, graph.Reduce) and len(model.tensors[op.inputs[0]].shape) == 3:
        pixels = target.rows * target.columns
        shape = (pixels, 1) if op.axes == (1,) else (1, pixels)
        return FeatureMap(*shape, target.channels, target.pixel_words)
    return target


def _average_table(step: Step, positions: int) -> Table:
    if positions >= isa.TABLE_ENTRIES:
        raise ProgramError(
            f"layer '{step.name}' is not supported: its windows reach beyond the map and average "
            f"{positions} positions, where they may have {isa.TABLE_ENTRIES - 1} at most"
        )
    return average_table()


def _group_vectors(layer: Layer, window_taps: int) -> int:
    """Weight vectors that a group of filters takes."""
    kernel, fold = layer.filters.kernel, layer.fold
    if kernel is None:
        return 0
    _, rows, columns, _ = kernel.weights.shape
    if kernel.depthwise:
        return -(-rows * columns // window_taps)
    return -(-rows // fold.rows) * -(-columns // fold.columns) * layer.source.pixel_words


def _widened(
    kernel: graph.Int8Array, codes: LayerCodes, channels: int
) -> tuple[graph.Int8Array, LayerCodes]:
    """A depthwise kernel with several filters a channel, as a convolution that skips the rest."""
    filters = np.arange(len(kernel), dtype=np.int64)
    channel = filters // (len(kernel) // channels)
    wide = np.zeros((*kernel.shape[:3], channels), np.int8)
    wide_codes = np.full(wide.shape, SKIP, np.uint8)
    wide[filters, :, :, channel] = kernel[..., 0]
    wide_codes[filters, :, :, channel] = codes.codes[..., 0]
    return wide, LayerCodes(codes.multipliers, wide_codes)
