"""From a model, a plan and an overlay to a program."""

from __future__ import annotations

from dataclasses import dataclass, replace

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
from axynq.host.isa import Descriptor, Opcode
from axynq.host.overlay import Overlay
from axynq.host.runtime.program import HostStep, Program, TensorPlace

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
        self._check_words("its feature maps take", self.arena.words)
        descriptors = [self._describe(step) for step in steps]
        self._check_words("its program takes", self.words)
        header = isa.header(overlay.identifier, len(descriptors), self.words)
        records = [descriptor.record() for descriptor in descriptors]
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

    def _check_words(self, what: str, words: int) -> None:
        if words > isa.MAX_INTEGER:
            raise ProgramError(
                f"'{self.model.name}' is too large: {what} {words} words of {self.word_bytes} "
                f"bytes, and descriptors count up to {isa.MAX_INTEGER}"
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

    def _describe(self, step: Step) -> Descriptor:
        """One layer; its weights and constants are appended to the program."""
        source, target = self.lowered.maps[step.source], self.lowered.maps[step.output]
        common = Descriptor(
            source_offset=self._offset(step.source),
            source_image_words=source.image_words,
            destination_offset=self._offset(step.output),
            destination_image_words=target.image_words,
            input_rows=source.rows,
            input_columns=source.columns,
            input_pixel_words=source.pixel_words,
            output_rows=target.rows,
            output_columns=target.columns,
            output_pixel_words=target.pixel_words,
            fold_channels=source.channels,
            fold_rows=1,
            fold_columns=1,
            passes=1,
            pass_taps=1,
            blocks=1,
            block_pixel_words=target.pixel_words,
            source_zero_point=self._zero_point(step.source),
            destination_zero_point=self._zero_point(step.output),
            clamp_low=INT8_MIN,
            clamp_high=INT8_MAX,
        )
        descriptor, window = self._describe_operator(step, source, common)
        descriptor = replace(
            descriptor,
            kernel_rows=-(-window.kernel[0] // descriptor.fold_rows),
            kernel_columns=-(-window.kernel[1] // descriptor.fold_columns),
            stride_rows=window.stride[0],
            stride_columns=window.stride[1],
            dilation_rows=window.dilation[0],
            dilation_columns=window.dilation[1],
            padding_top=window.top,
            padding_left=window.left,
        )
        largest = self._largest_tile_rows(step, window, descriptor)
        return replace(
            descriptor,
            tile_rows=choose_tile_rows(descriptor, self.overlay, largest, self.batch),
        )

    def _describe_operator(
        self, step: Step, source: FeatureMap, descriptor: Descriptor
    ) -> tuple[Descriptor, _Window]:
        """With what depends on the operator; the operator's window."""
        operator = step.operator
        if isinstance(operator, graph.WeightedLayer):
            return self._describe_weighted(step, operator, source, descriptor)
        if isinstance(operator, graph.Add):
            return self._describe_add(step, operator, descriptor), _Window()
        if isinstance(operator, graph.Pool):
            low, high = activation_bounds(operator.activation, self.model.tensors[step.output])
            opcode = Opcode.MAX_POOL if operator.kind == "max" else Opcode.AVERAGE_POOL
            padding = operator.padding
            return (
                replace(descriptor, opcode=opcode, clamp_low=low, clamp_high=high),
                _Window(operator.window, operator.stride, top=padding.top, left=padding.left),
            )
        if isinstance(operator, graph.Mean):
            factor = mean_factor(self.model, operator)
            return (
                replace(
                    descriptor,
                    opcode=Opcode.MEAN,
                    destination_multiplier=factor.multiplier,
                    destination_shift=factor.shift,
                ),
                _Window((source.rows, source.columns)),
            )
        if isinstance(operator, graph.Pad):
            padding = operator.padding
            return replace(descriptor, opcode=Opcode.PAD), _Window(
                top=padding.top, left=padding.left
            )
        raise ProgramError(f"the accelerator has no operation for '{operator.name}'")

    def _zero_point(self, index: int) -> int:
        return self.model.tensors[index].zero_point

    def _largest_tile_rows(self, step: Step, window: _Window, descriptor: Descriptor) -> int:
        """As many output rows as the buffers hold."""
        source, target = self.lowered.maps[step.source], self.lowered.maps[step.output]
        buffers = self.overlay.buffers
        block_words = descriptor.block_pixel_words
        # The other operand of an addition takes as much room as the output of all blocks.
        row_words = target.columns * (
            block_words if step.residual_operand is None else target.pixel_words
        )
        row_sums = target.columns * descriptor.block_groups
        for rows in range(target.rows, 0, -1):
            input_rows = min(window.input_rows(rows, descriptor.fold_rows), source.rows)
            input_words = input_rows * source.columns * source.pixel_words
            if (
                input_words <= buffers.input_words
                and rows * row_words <= buffers.output_words
                and (descriptor.passes == 1 or rows * row_sums <= buffers.partial_sums)
            ):
                return rows
        raise ProgramError(
            f"layer '{step.name}' does not fit overlay '{self.overlay.name}': one output row takes "
            f"{input_words} input words, {row_words} output words"
            + (f" and {row_sums} partial sums" if descriptor.passes > 1 else "")
            + f" on chip, there are {buffers.input_words}, {buffers.output_words} and "
            f"{buffers.partial_sums}"
        )

    def _describe_add(self, step: Step, add: graph.Add, descriptor: Descriptor) -> Descriptor:
        packed = pass_through(self.lowered.maps[step.output].channels, self.overlay)
        alone = replace(
            descriptor,
            opcode=Opcode.ADD,
            pre_add_zero_point=self._zero_point(step.source),
            pre_add_low=INT8_MIN,
            pre_add_high=INT8_MAX,
            blocks=packed.blocks,
            block_groups=packed.block_groups,
            block_pixel_words=packed.block_pixel_words,
            constants_offset=self._append(packed.constants),
        )
        return self._describe_sum(step, add, step.source, alone)

    def _describe_sum(
        self, step: Step, add: graph.Add, computed: int, descriptor: Descriptor
    ) -> Descriptor:
        """With an addition to what the lanes compute: alone, or behind a layer."""
        pre_add, residual, total = add_factors(self.model, add)
        if add.inputs[0] != computed:
            pre_add, residual = residual, pre_add
        assert step.residual_operand is not None
        low, high = activation_bounds(add.activation, self.model.tensors[add.output])
        return replace(
            descriptor,
            has_residual=1,
            residual_offset=self._offset(step.residual_operand),
            residual_image_words=self.lowered.maps[step.residual_operand].image_words,
            residual_zero_point=self._zero_point(step.residual_operand),
            pre_add_multiplier=pre_add.multiplier,
            pre_add_shift=pre_add.shift,
            residual_multiplier=residual.multiplier,
            residual_shift=residual.shift,
            destination_multiplier=total.multiplier,
            destination_shift=total.shift,
            clamp_low=low,
            clamp_high=high,
        )

    def _describe_weighted(
        self, step: Step, layer: graph.WeightedLayer, source: FeatureMap, descriptor: Descriptor
    ) -> tuple[Descriptor, _Window]:
        bank, window = self._filter_bank(layer, source)
        if step.pad is not None:
            padding = step.pad.padding
            window = replace(window, top=window.top + padding.top, left=window.left + padding.left)
        packed = pack_filters(bank, self.overlay)
        low, high = activation_bounds(layer.activation, self.model.tensors[layer.output])
        descriptor = replace(
            descriptor,
            opcode=Opcode.DEPTHWISE if bank.depthwise else Opcode.CONVOLUTION,
            fold_rows=packed.fold.rows,
            fold_columns=packed.fold.columns,
            passes=packed.passes,
            pass_taps=packed.pass_taps,
            blocks=packed.blocks,
            block_groups=packed.block_groups,
            block_pixel_words=packed.block_pixel_words,
            weights_offset=self._append(packed.weights),
            constants_offset=self._append(packed.constants),
            pre_add_zero_point=self._zero_point(layer.output),
            pre_add_low=low,
            pre_add_high=high,
        )
        if step.residual is not None:
            descriptor = self._describe_sum(step, step.residual, layer.output, descriptor)
        return descriptor, window

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
