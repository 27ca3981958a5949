"""From a model, a plan and an overlay to a program."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import IntEnum

import numpy as np
import numpy.typing as npt

from axynq.emulator.errors import ProgramError
from axynq.emulator.model import graph
from axynq.emulator.model.graph import INT8_MAX, INT8_MIN, activation_bounds
from axynq.emulator.model.quantisation import add_factors, layer_factors, mean_factor
from axynq.emulator.plan import SKIP, LayerCodes, Plan
from axynq.host import isa
from axynq.host.compiler.arena import plan_arena
from axynq.host.compiler.lowering import FeatureMap, Step, lower
from axynq.host.compiler.packing import FilterBank, pack_filters, pass_through
from axynq.host.compiler.tiling import choose_tile_rows
from axynq.host.isa import Field, Opcode
from axynq.host.overlay import Overlay
from axynq.host.runtime.program import HostStep, Program, TensorPlace

Fields = dict[IntEnum, int]

TYPICAL_BATCH = 16
"""Images at a time that programs are tuned for unless told otherwise."""


def compile_program(
    model: graph.Model,
    plan: Plan | str | None,
    overlay: Overlay | str,
    batch: int = TYPICAL_BATCH,
) -> Program:
    """Compile ``model`` under ``plan`` (default: exact everywhere) for ``overlay``.

    The program runs any number of images at a time and is fastest at ``batch``.

    Raises:
        PlanError: the plan does not fit the model, or needs a multiplier that no lane holds.
        ProgramError: the network has something the accelerator cannot do, or a layer is too large
            for the overlay's buffers.
        OverlayError: there is no such overlay.
    """
    if isinstance(overlay, str):
        overlay = Overlay.load(overlay)
    if plan is None:
        plan = Plan.uniform("exact")
    elif isinstance(plan, str):
        plan = Plan.parse(model, plan)
    return _Compiler(model, plan.expand(model), overlay, batch).compile()


@dataclass(frozen=True)
class _Window:
    """Geometry of a sliding window; the default sees one position."""

    kernel: tuple[int, int] = (1, 1)
    stride: tuple[int, int] = (1, 1)
    dilation: tuple[int, int] = (1, 1)
    top: int = 0
    left: int = 0

    def input_rows(self, output_rows: int, fold_rows: int = 1) -> int:
        """Input rows that so many output rows see, those included that fill up the last fold."""
        rows = -(-self.kernel[0] // fold_rows) * fold_rows
        return (output_rows - 1) * self.stride[0] + (rows - 1) * self.dilation[0] + 1


class _Compiler:
    def __init__(
        self, model: graph.Model, codes: dict[str, LayerCodes], overlay: Overlay, batch: int
    ) -> None:
        self.model = model
        self.codes = codes
        self.overlay = overlay
        self.batch = batch
        self.word_bytes = overlay.array.inputs
        self.lowered = lower(model, self.word_bytes)
        self.arena = plan_arena(model, self.lowered)
        self.data: list[npt.NDArray[np.uint8]] = []  # weights and constants, whole words each
        records = 1 + len(self.lowered.steps)
        self.words = records * isa.RECORD_INTEGERS * 4 // self.word_bytes

    def compile(self) -> Program:
        steps, overlay = self.lowered.steps, self.overlay
        records = [isa.record(self._describe(step)) for step in steps]
        header = isa.record(
            {
                isa.Header.MAGIC: isa.MAGIC,
                isa.Header.VERSION: isa.VERSION,
                isa.Header.OVERLAY: overlay.identifier,
                isa.Header.LAYERS: len(records),
                isa.Header.PROGRAM_WORDS: self.words,
            }
        )
        front = np.concatenate([header, *records]).astype("<u4").view(np.uint8)
        return Program(
            model=self.model.name,
            overlay=overlay.name,
            overlay_hash=overlay.hash,
            word_bytes=self.word_bytes,
            arena_words=self.arena.words,
            input=self._place(self.model.input_index, steps[0].source),
            output=self._place(self.model.output_index, steps[-1].output),
            host_steps=tuple(
                HostStep("softmax", self.model.tensors[op.inputs[0]].scale, op.beta)
                for op in self.lowered.host_steps
            ),
            layers=tuple(step.name for step in steps),
            plan={name: codes.counts() for name, codes in self.codes.items()},
            memory=np.concatenate([front, *self.data]),
        )

    def _place(self, user: int, device: int) -> TensorPlace:
        """A boundary tensor: shape and quantisation as the user sees it, memory as the device."""
        tensor, device_map = self.model.tensors[user], self.lowered.maps[device]
        return TensorPlace(
            name=tensor.name,
            shape=tensor.shape,
            scale=tensor.scale,
            zero_point=tensor.zero_point,
            pixels=device_map.rows * device_map.columns,
            channels=device_map.channels,
            offset=self._offset(device),
            image_words=device_map.image_words,
            interface=tensor.interface,
        )

    def _offset(self, index: int) -> int:
        return self.arena.offsets[self.lowered.home[index]]

    def _append(self, data: npt.NDArray[np.uint8]) -> int:
        """Append to the program, filled up to whole words; the offset in words."""
        offset = self.words
        padded = np.zeros(-(-len(data) // self.word_bytes) * self.word_bytes, np.uint8)
        padded[: len(data)] = data
        self.data.append(padded)
        self.words += len(padded) // self.word_bytes
        return offset

    # --- descriptors -----------------------------------------------------------------------------

    def _describe(self, step: Step) -> Fields:
        """Descriptor fields of one layer; its weights and constants are appended to the program."""
        source, target = self.lowered.maps[step.source], self.lowered.maps[step.output]
        fields: Fields = {
            Field.SOURCE_OFFSET: self._offset(step.source),
            Field.SOURCE_IMAGE_WORDS: source.image_words,
            Field.DESTINATION_OFFSET: self._offset(step.output),
            Field.DESTINATION_IMAGE_WORDS: target.image_words,
            Field.INPUT_ROWS: source.rows,
            Field.INPUT_COLUMNS: source.columns,
            Field.INPUT_PIXEL_WORDS: source.pixel_words,
            Field.OUTPUT_ROWS: target.rows,
            Field.OUTPUT_COLUMNS: target.columns,
            Field.OUTPUT_PIXEL_WORDS: target.pixel_words,
            Field.FOLD_CHANNELS: source.channels,
            Field.FOLD_ROWS: 1,
            Field.FOLD_COLUMNS: 1,
            Field.PASSES: 1,
            Field.PASS_TAPS: 1,
            Field.BLOCKS: 1,
            Field.BLOCK_PIXEL_WORDS: target.pixel_words,
            Field.SOURCE_ZERO_POINT: self._zero_point(step.source),
            Field.DESTINATION_ZERO_POINT: self._zero_point(step.output),
            Field.CLAMP_LOW: INT8_MIN,
            Field.CLAMP_HIGH: INT8_MAX,
        }
        window = self._describe_operator(step, source, fields)
        fields.update(
            {
                Field.KERNEL_ROWS: -(-window.kernel[0] // fields[Field.FOLD_ROWS]),
                Field.KERNEL_COLUMNS: -(-window.kernel[1] // fields[Field.FOLD_COLUMNS]),
                Field.STRIDE_ROWS: window.stride[0],
                Field.STRIDE_COLUMNS: window.stride[1],
                Field.DILATION_ROWS: window.dilation[0],
                Field.DILATION_COLUMNS: window.dilation[1],
                Field.PADDING_TOP: window.top,
                Field.PADDING_LEFT: window.left,
            }
        )
        largest = self._largest_tile_rows(step, window, fields)
        fields[Field.TILE_ROWS] = choose_tile_rows(fields, self.overlay, largest, self.batch)
        return fields

    def _describe_operator(self, step: Step, source: FeatureMap, fields: Fields) -> _Window:
        """Fields that depend on what the layer does; its window."""
        operator = step.operator
        if isinstance(operator, graph.WeightedLayer):
            return self._describe_weighted(step, operator, source, fields)
        if isinstance(operator, graph.Add):
            return self._describe_add(step, operator, fields)
        if isinstance(operator, graph.Pool):
            low, high = activation_bounds(operator.activation, self.model.tensors[step.output])
            maximum = operator.kind == "max"
            fields[Field.OPCODE] = Opcode.MAX_POOL if maximum else Opcode.AVERAGE_POOL
            fields[Field.CLAMP_LOW], fields[Field.CLAMP_HIGH] = low, high
            padding = operator.padding
            return _Window(operator.window, operator.stride, top=padding.top, left=padding.left)
        if isinstance(operator, graph.Mean):
            factor = mean_factor(self.model, operator)
            fields[Field.OPCODE] = Opcode.MEAN
            fields[Field.DESTINATION_MULTIPLIER] = factor.multiplier
            fields[Field.DESTINATION_SHIFT] = factor.shift
            return _Window((source.rows, source.columns))
        if isinstance(operator, graph.Pad):
            fields[Field.OPCODE] = Opcode.PAD
            return _Window(top=operator.padding.top, left=operator.padding.left)
        raise ProgramError(f"the accelerator has no operation for '{operator.name}'")

    def _zero_point(self, index: int) -> int:
        return self.model.tensors[index].zero_point

    def _largest_tile_rows(self, step: Step, window: _Window, fields: Fields) -> int:
        """As many output rows as the buffers hold."""
        source, target = self.lowered.maps[step.source], self.lowered.maps[step.output]
        buffers = self.overlay.buffers
        block_words = fields[Field.BLOCK_PIXEL_WORDS]
        # The other operand of an addition takes as much room as the output of all blocks.
        row_words = target.columns * (block_words if step.second is None else target.pixel_words)
        row_sums = target.columns * fields.get(Field.BLOCK_GROUPS, 0)
        for rows in range(target.rows, 0, -1):
            input_rows = min(window.input_rows(rows, fields[Field.FOLD_ROWS]), source.rows)
            input_words = input_rows * source.columns * source.pixel_words
            if (
                input_words <= buffers.input_words
                and rows * row_words <= buffers.output_words
                and (fields[Field.PASSES] == 1 or rows * row_sums <= buffers.partial_sums)
            ):
                return rows
        raise ProgramError(
            f"layer '{step.name}' does not fit overlay '{self.overlay.name}': one output row takes "
            f"{input_words} input words, {row_words} output words"
            + (f" and {row_sums} partial sums" if fields[Field.PASSES] > 1 else "")
            + f" on chip, there are {buffers.input_words}, {buffers.output_words} and "
            f"{buffers.partial_sums}"
        )

    def _describe_add(self, step: Step, add: graph.Add, fields: Fields) -> _Window:
        packed = pass_through(self.lowered.maps[step.output].channels, self.overlay)
        fields.update(
            {
                Field.OPCODE: Opcode.ADD,
                Field.INNER_ZERO_POINT: self._zero_point(step.source),
                Field.INNER_LOW: INT8_MIN,
                Field.INNER_HIGH: INT8_MAX,
                Field.BLOCKS: packed.blocks,
                Field.BLOCK_GROUPS: packed.block_groups,
                Field.BLOCK_PIXEL_WORDS: packed.block_pixel_words,
                Field.CONSTANTS_OFFSET: self._append(packed.constants),
            }
        )
        self._describe_sum(step, add, step.source, fields)
        return _Window()

    def _describe_sum(self, step: Step, add: graph.Add, computed: int, fields: Fields) -> None:
        """An addition to what the lanes compute: alone, or behind a layer."""
        first, other, total = add_factors(self.model, add)
        if add.inputs[0] != computed:
            first, other = other, first
        assert step.second is not None
        low, high = activation_bounds(add.activation, self.model.tensors[add.output])
        fields.update(
            {
                Field.RESIDUAL: 1,
                Field.SECOND_OFFSET: self._offset(step.second),
                Field.SECOND_IMAGE_WORDS: self.lowered.maps[step.second].image_words,
                Field.SECOND_ZERO_POINT: self._zero_point(step.second),
                Field.INNER_MULTIPLIER: first.multiplier,
                Field.INNER_SHIFT: first.shift,
                Field.SECOND_MULTIPLIER: other.multiplier,
                Field.SECOND_SHIFT: other.shift,
                Field.DESTINATION_MULTIPLIER: total.multiplier,
                Field.DESTINATION_SHIFT: total.shift,
                Field.CLAMP_LOW: low,
                Field.CLAMP_HIGH: high,
            }
        )

    def _describe_weighted(
        self, step: Step, layer: graph.WeightedLayer, source: FeatureMap, fields: Fields
    ) -> _Window:
        bank, window = self._filter_bank(layer, source)
        if step.pad is not None:
            padding = step.pad.padding
            window = replace(window, top=window.top + padding.top, left=window.left + padding.left)
        packed = pack_filters(bank, self.overlay)
        low, high = activation_bounds(layer.activation, self.model.tensors[layer.output])
        fields.update(
            {
                Field.OPCODE: Opcode.DEPTHWISE if bank.depthwise else Opcode.CONVOLUTION,
                Field.FOLD_ROWS: packed.fold.rows,
                Field.FOLD_COLUMNS: packed.fold.columns,
                Field.PASSES: packed.passes,
                Field.PASS_TAPS: packed.pass_taps,
                Field.BLOCKS: packed.blocks,
                Field.BLOCK_GROUPS: packed.block_groups,
                Field.BLOCK_PIXEL_WORDS: packed.block_pixel_words,
                Field.WEIGHTS_OFFSET: self._append(packed.weights),
                Field.CONSTANTS_OFFSET: self._append(packed.constants),
                Field.INNER_ZERO_POINT: self._zero_point(layer.output),
                Field.INNER_LOW: low,
                Field.INNER_HIGH: high,
            }
        )
        if step.residual is not None:
            self._describe_sum(step, step.residual, layer.output, fields)
        return window

    def _filter_bank(
        self, layer: graph.WeightedLayer, source: FeatureMap
    ) -> tuple[FilterBank, _Window]:
        """The layer as a convolution or a depthwise convolution with a channel per filter."""
        kernel, codes, depthwise = layer.kernel, self.codes[layer.name], False
        if isinstance(layer, graph.FullyConnected):
            # On a feature map this is a convolution as large as the map.
            shape = (len(kernel), source.rows, source.columns, source.channels)
            kernel = kernel.reshape(shape)
            codes = LayerCodes(codes.multipliers, codes.codes.reshape(shape))
            window = _Window((source.rows, source.columns))
        else:
            assert isinstance(layer, (graph.Convolution, graph.DepthwiseConvolution))
            window = _Window(
                (kernel.shape[1], kernel.shape[2]),
                layer.stride,
                layer.dilation,
                layer.padding.top,
                layer.padding.left,
            )
            if isinstance(layer, graph.DepthwiseConvolution):
                depthwise = len(kernel) == source.channels
                if not depthwise:
                    kernel, codes = _widened(kernel, codes, source.channels)
        factors = layer_factors(self.model, layer)
        return FilterBank(layer.name, kernel, codes, depthwise, layer.bias, factors), window


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
