# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""Which operators of a network the accelerator runs, on which feature maps, and which the host."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Union

from axynq.emulator.errors import ProgramError
from axynq.emulator.model import graph
from axynq.host.compiler.abilities import Role, is_within_reach, lasts_for, reason, role
from axynq.host.compiler.grouped import Grouped, grouped
from axynq.host.compiler.stages import Unit, in_stages
from axynq.host.compiler.subpixels import SubPixels, transposed_convolutions
from axynq.host.compiler.tabulated import Tabulated, names_of, tabulated


@dataclass(frozen=True)
class FeatureMap:
    """A tensor as the accelerator sees it: rows of pixels, a pixel a whole number of words."""

    rows: int
    columns: int
    channels: int
    pixel_words: int

    @property
    def image_words(self) -> int:
        return self.rows * self.columns * self.pixel_words


@dataclass(frozen=True)
class Step:
    """An operator for the accelerator, with what it takes over from its neighbours."""

    operator: graph.Operator
    source: int
    """The tensor the operator works on."""
    output: int
    pad: graph.Pad | None = None
    """Padding that the operator does itself: ``source`` is the tensor before it."""
    sum: graph.Operator | None = None
    """Sum or difference of two maps: the operator itself, or one that follows on chip; then
    ``output`` is the tensor after it."""
    table: Tabulated | None = None
    """Operators by value: the operator itself is the last of them, or they follow on chip, as
    above."""

    grouped: Grouped | None = None
    """Slices, layers and a concatenation, the operator, that are one layer."""

    subpixels: SubPixels | None = None
    """Of a transposed convolution, the operator: which of its outputs."""

    @property
    def is_copy(self) -> bool:
        """Whether it copies a map to where an operator that only moves values has it."""
        return isinstance(self.operator, graph.Movement) and self.grouped is None

    @property
    def is_tabulated(self) -> bool:
        """Whether there are operators by value and no layer before them."""
        return self.table is not None and self.operator is self.table.operators[-1]

    @property
    def operators(self) -> tuple[graph.Operator, ...]:
        """All of them, in order."""
        if self.grouped is not None:
            return self.grouped.operators
        if self.subpixels is not None:
            return (self.subpixels.spread, self.operator)
        last: tuple[graph.Operator, ...] = () if self.sum is None else (self.sum,)
        last = last if self.table is None else self.table.operators
        first = tuple(op for op in (self.pad, self.operator) if op and op not in last)
        return (*first, *last)

    @property
    def name(self) -> str:
        """The operators' names in order, for example ``conv_5+add_7``."""
        if self.grouped is not None:
            return self.grouped.name
        return "+".join(op.name for op in self.operators)

    @property
    def residual_operand(self) -> int | None:
        """The other operand of a sum or difference."""
        if self.sum is None:
            return None
        first, second = self.sum.inputs
        computed = self.source if self.sum is self.operator else self.operator.output
        return second if first == computed else first

    @property
    def tensors(self) -> tuple[int, ...]:
        """Tensors read and written."""
        operand = () if self.residual_operand is None else (self.residual_operand,)
        return (self.source, *operand, self.output)


@dataclass(frozen=True)
class StepsOnCore:
    """A stage of the accelerator: it is started once for these steps."""

    numbers: range


@dataclass(frozen=True)
class OperatorsOnHost:
    """A stage of the host."""

    operators: tuple[graph.Operator, ...]


LoweredStage = Union[StepsOnCore, OperatorsOnHost]


@dataclass(frozen=True)
class Part:
    """Where a map lies in memory that is part of the pixels of a larger one."""

    whole: int
    """The larger one, by its home."""
    first_word: int
    """Of each pixel."""
    pixel_words: int
    """From a pixel to the next."""
    row_words: int | None = None
    """From a row to the next; None: a row's pixels and no more."""


@dataclass(frozen=True)
class Lowered:
    """A network split between accelerator and host."""

    steps: tuple[Step, ...]
    """What the accelerator runs, in order."""
    stages: tuple[LoweredStage, ...]
    """All steps and what the host computes between them, in order."""
    maps: dict[int, FeatureMap]
    """The feature map of each tensor that a step reads or writes."""
    home: dict[int, int]
    """Tensors that differ in shape only share memory: the tensor they live in."""
    parts: dict[int, Part] = field(default_factory=dict)
    """Tensors that steps write to where a concatenation has them."""
    reasons: dict[str, str] = field(default_factory=dict)
    """Why the host computes the operators that it does, by their names."""

    @property
    def host_operators(self) -> tuple[graph.Operator, ...]:
        """All that the host computes, in order."""
        return tuple(
            op
            for stage in self.stages
            if isinstance(stage, OperatorsOnHost)
            for op in stage.operators
        )


def lower(model: graph.Model, word_bytes: int, on_host: Mapping[str, str] | None = None) -> Lowered:
    """Split ``model`` for an accelerator whose memory words have ``word_bytes`` bytes.

    Args:
        on_host: operators that the host computes although the accelerator has operations for them,
            by their names: why.

    Raises:
        ProgramError: there is nothing for the accelerator to do.
    """
    roles = {op.name: role(model, op, word_bytes) for op in model.operators}
    tables = tabulated(model, on_host or {})
    roles |= dict.fromkeys(names_of(tables.values()), "table")
    groups = grouped(model, on_host or {})
    roles |= {op.name: "lanes" for group in groups.values() for op in group.operators}
    spreads = {
        op: spread
        for op, spread in transposed_convolutions(model, on_host or {}).items()
        if is_within_reach(model.tensors[op.output].shape, spread.stride, word_bytes)
    }
    roles |= {each.name: "place" for pair in spreads.items() for each in pair}
    reasons = {op.name: reason(model, op) for op in model.operators}
    for name, why in (on_host or {}).items():
        roles[name], reasons[name] = "host", why
    while True:
        split = _Split(model, roles, reasons, tables, groups, spreads, word_bytes)
        # Parts of a map that the host makes after all are the host's to put together.
        lost = split.lost()
        if not lost:
            return split.lowered()
        roles |= dict.fromkeys(lost, "host")


class _Split:
    """A network split, given what computes each operator.

    Raises:
        ProgramError: there is nothing for the accelerator to do.
    """

    def __init__(
        self,
        model: graph.Model,
        roles: dict[str, Role],
        reasons: dict[str, str],
        tables: dict[graph.Operator, Tabulated],
        groups: dict[graph.Operator, Grouped],
        spreads: dict[graph.Operator, graph.Spread],
        word_bytes: int,
    ) -> None:
        self.spreads = spreads
        self.subpixels: dict[int, SubPixels] = {}
        """Of tensors that stand for parts of a transposed convolution's output."""
        self.groups = groups
        self.model = model
        self.tables = tables
        self.roles = roles
        self.reasons = dict(reasons)
        self.word_bytes = word_bytes
        self.home = _homes(model, roles, self.reasons, word_bytes)
        self.copied: dict[int, int] = {}
        """Tensors that stand for copies in larger maps: what they are copies of."""
        self.parts: dict[int, Part] = {}
        given = {self.home[index] for index in (*model.inputs, *model.constants)}
        self.stages: list[LoweredStage] = []
        self.steps: list[Step] = []
        for stage in in_stages(self._units(), given):
            units = [unit for unit in stage.units if unit.operators]
            if not units:
                continue
            if stage.on_host:
                self.stages.append(OperatorsOnHost(tuple(op for u in units for op in u.operators)))
            else:
                steps = [self._step(unit) for unit in units]
                first = len(self.steps)
                self.stages.append(StepsOnCore(range(first, first + len(steps))))
                self.steps += steps
        if not self.steps:
            host = [op.name for op in model.operators if roles[op.name] == "host"]
            why = "; ".join(f"'{name}': {self.reasons[name]}" for name in host)
            raise ProgramError(
                f"model '{model.name}' has nothing for the accelerator to do"
                + (f" ({why})" if why else "")
            )

    def lost(self) -> list[str]:
        """Operators that would put parts together which no steps make, or which are mere copies of
        what the host makes."""
        made = {self.home[step.output] for step in self.steps}
        wholes = {part.whole for part in self.parts.values()}
        lost = []
        for op in self.model.operators:
            if self.roles[op.name] == "place" and not isinstance(op, graph.Spread):
                pieces = set(self._pieces(op))
                from_steps = pieces - set(self.copied)
                if isinstance(op, graph.ResizeNearest):
                    from_steps = {self.home[op.inputs[0]]} & {*made, *wholes}
                if not from_steps or not made.issuperset(pieces):
                    lost.append(op.name)
        return lost

    def _pieces(self, op: graph.Operator) -> list[int]:
        """The parts of a concatenation that is by words, in order."""
        whole = self.home[op.output]
        return [tensor for tensor, part in self.parts.items() if part.whole == whole]

    def lowered(self) -> Lowered:
        """The result."""
        model, home = self.model, self.home
        maps = {
            index: _map_of_home(
                model,
                self.copied.get(index, index),
                home[self.copied.get(index, index)],
                self.word_bytes,
            )
            for step in self.steps
            for index in step.tensors
            if index not in self.subpixels
        }
        maps |= {piece: self._map_of_subpixels(piece) for piece in self.subpixels}
        for part in self.parts.values():
            maps.setdefault(
                part.whole, _map_of_home(model, part.whole, part.whole, self.word_bytes)
            )
        lowered = Lowered(tuple(self.steps), tuple(self.stages), maps, home, self.parts)
        reasons = {
            op.name: self.reasons[op.name]
            if self.roles[op.name] == "host" or isinstance(op, graph.Reshape)
            else "the core is not started for what multiplies nothing"
            for op in lowered.host_operators
        }
        return replace(lowered, reasons=reasons)

    # --- operators that run together -------------------------------------------------------------

    def _units(self) -> list[Unit]:
        """The operators, those joined that run as one step. What moves nothing is left out."""
        model, roles, home = self.model, self.roles, self.home
        units: list[Unit] = []
        joined: set[graph.Operator] = set()
        inside = {op for group in self.groups.values() for op in group.operators[:-1]}
        inside.update(self.spreads.values())
        for op in model.operators:
            if isinstance(op, graph.Reshape) and home[op.output] == home[op.inputs[0]]:
                continue
            if op in inside or (roles[op.name] == "table" and op not in self.tables):
                continue  # done by those behind it
            if op in self.spreads:
                units += self._interleaved(op)
                continue
            if roles[op.name] == "place":
                resized = isinstance(op, graph.ResizeNearest)
                units += self._repeating(op) if resized else self._placing(op, units)
                continue
            table = self.tables[op].operators if op in self.tables else ()
            operators: tuple[graph.Operator, ...] = table or (op,)
            if op in self.groups:
                operators = self.groups[op].operators
            elif roles[op.name] != "host":
                # A layer with an addition runs where that stands: its other operand is there then.
                layer = self._layer_before(op)
                pad = _own_padding(model, layer or op, roles)
                before = [each for each in (pad, layer) if each is not None]
                joined.update(before)
                operators = (*before, *operators)
            inner = {each.output for each in operators[:-1]}
            inputs = {i for each in operators for i in each.inputs} - inner
            units.append(
                Unit(
                    operators,
                    tuple(home[index] for index in inputs),
                    home[op.output],
                    on_host=roles[op.name] == "host",
                )
            )
        return [unit for unit in units if not unit.operators or unit.operators[-1] not in joined]

    def _placing(self, op: graph.Operator, before: list[Unit]) -> list[Unit]:
        """A concatenation whose parts are written to where it has them: by the steps that make
        them, or by copies."""
        model, whole = self.model, self.home[op.output]
        makers = {unit.output: unit for unit in before}
        units: list[Unit] = []
        pieces: list[int] = []
        word, pixel_words = 0, map_of(model.tensors[op.output].shape, self.word_bytes).pixel_words
        for index in op.inputs:
            piece = index
            if not self._writes_elsewhere(makers.get(index), index, op):
                units.append(self._copy(op, index))
                piece = units[-1].output
            self.parts[piece] = Part(whole, word, pixel_words)
            pieces.append(piece)
            word += map_of(model.tensors[index].shape, self.word_bytes).pixel_words
        return [*units, Unit((), tuple(pieces), whole)]

    def _repeating(self, op: graph.Operator) -> list[Unit]:
        """A map whose pixels are repeated in both directions: a copy for each repetition."""
        source, target = (
            map_of(self.model.tensors[index].shape, self.word_bytes)
            for index in (op.inputs[0], op.output)
        )
        whole, words = self.home[op.output], target.pixel_words
        times = target.columns // source.columns
        rows = target.rows // source.rows
        row_words = target.columns * words
        units = []
        for row in range(rows):
            for column in range(times):
                units.append(self._copy(op, op.inputs[0]))
                self.parts[units[-1].output] = Part(
                    whole, row * row_words + column * words, times * words, rows * row_words
                )
        return [*units, Unit((), tuple(unit.output for unit in units), whole)]

    def _interleaved(self, op: graph.Operator) -> list[Unit]:
        """A transposed convolution: a convolution for each remainder of rows and columns."""
        assert isinstance(op, graph.Convolution)
        spread = self.spreads[op]
        target = map_of(self.model.tensors[op.output].shape, self.word_bytes)
        whole, words = self.home[op.output], target.pixel_words
        row_words, (rows, columns) = target.columns * words, spread.stride
        units = []
        for row in range(min(rows, target.rows)):
            for column in range(min(columns, target.columns)):
                piece = len(self.home)
                self.subpixels[piece] = SubPixels(spread, op, row, column)
                self.home[piece] = piece
                self.parts[piece] = Part(
                    whole,
                    row * row_words + column * words,
                    columns * words,
                    rows * row_words if (rows, columns) != (1, 1) else None,
                )
                units.append(Unit((spread, op), (self.home[spread.inputs[0]],), piece))
        return [*units, Unit((), tuple(unit.output for unit in units), whole)]

    def _map_of_subpixels(self, piece: int) -> FeatureMap:
        which = self.subpixels[piece]
        target = map_of(self.model.tensors[which.layer.output].shape, self.word_bytes)
        rows, columns = which.spread.stride
        return replace(
            target,
            rows=len(range(which.row, target.rows, rows)),
            columns=len(range(which.column, target.columns, columns)),
        )

    def _copy(self, op: graph.Operator, index: int) -> Unit:
        """A copy of a tensor, for an operator that has it elsewhere."""
        piece = len(self.home)
        self.copied[piece] = index
        self.home[piece] = piece
        return Unit((op,), (self.home[index],), piece)

    def _writes_elsewhere(self, maker: Unit | None, index: int, op: graph.Operator) -> bool:
        """Whether what makes a tensor can write it to where a concatenation has it."""
        return (
            maker is not None
            and not maker.on_host
            and bool(maker.operators)
            and self.roles[maker.operators[-1].name] in ("lanes", "table")
            and lasts_for(self.model, index, op)
            and op.inputs.count(index) == 1
        )

    def _step(self, unit: Unit) -> Step:
        """The step that operators make which run together."""
        if unit.output in self.subpixels:
            which = self.subpixels[unit.output]
            return Step(which.layer, which.spread.inputs[0], unit.output, subpixels=which)
        roles = self.roles
        pad, rest = None, list(unit.operators)
        if len(rest) > 1 and isinstance(rest[0], graph.Pad):
            pad = rest.pop(0)
        operator, last = rest[0], rest[-1]
        if last in self.groups:
            group = self.groups[last]
            return Step(last, group.source, last.output, grouped=group)
        if roles[operator.name] == "place":
            return Step(operator, self.copied[unit.output], unit.output)
        assert pad is None or isinstance(pad, graph.Pad)
        table = self.tables.get(last)
        if roles[operator.name] == "table":
            assert table is not None
            return Step(last, table.root, last.output, table=table)
        source = (pad or operator).inputs[0]
        added = last if roles[last.name] == "sum" else None
        return Step(operator, source, last.output, pad, added, table)

    def _layer_before(self, op: graph.Operator) -> graph.WeightedLayer | None:
        """The layer that does an operator behind it while its outputs leave the lanes: a sum of
        maps, or operators by value. Of two operands that layers make, the one with most
        multiplications, which hide the addition best."""
        model, readers = self.model, {op}
        if op in self.tables:
            operands: tuple[int, ...] = (self.tables[op].root,)
            readers = set(self.tables[op].operators)
        elif self.roles[op.name] == "sum" and op.inputs[0] != op.inputs[1]:
            operands = op.inputs
        else:
            return None
        layers = [
            layer
            for layer in model.layers
            if layer.output in operands
            and self.roles[layer.name] == "lanes"
            and layer.output not in model.outputs
            and readers.issuperset(model.consumers(layer.output))
        ]
        return max(layers, key=model.multiplications, default=None)


def _own_padding(
    model: graph.Model, layer: graph.Operator, roles: dict[str, Role]
) -> graph.Pad | None:
    """The padding before a convolution, which the convolution can do: both pad with zeros."""
    if not isinstance(layer, (graph.Convolution, graph.DepthwiseConvolution)):
        return None
    for pad in model.operators:
        if (
            isinstance(pad, graph.Pad)
            and pad.output == layer.inputs[0]
            and roles[pad.name] == "lanes"
            and lasts_for(model, pad.output, layer)
            and model.tensors[pad.inputs[0]].zero_point == model.tensors[pad.output].zero_point
        ):
            return pad
    return None


# --- reshaped tensors -----------------------------------------------------------------------------


def _homes(
    model: graph.Model, roles: dict[str, Role], reasons: dict[str, str], word_bytes: int
) -> dict[int, int]:
    """Where a reshape moves nothing, its output shares memory with its input; one of the network's
    input shares that of its output, because the host writes it in whatever shape. Other reshapes
    are the host's, for a reason."""
    home = {index: index for index in range(len(model.tensors))}
    for op in model.operators:
        if not isinstance(op, graph.Reshape):
            continue
        source = op.inputs[0]
        alike = [index for index in home if home[index] == home[source]]
        if home[source] in model.inputs and all(
            len(list(model.consumers(index))) == 1 for index in alike
        ):
            home |= dict.fromkeys(alike, op.output)
        elif source not in model.constants and _moves_nothing(
            model, op, home[source], roles, word_bytes
        ):
            home[op.output] = home[source]
        else:
            reasons[op.name] = "its values lie at other bytes of memory than those of its input"
    return home


def _moves_nothing(
    model: graph.Model, op: graph.Reshape, home: int, roles: dict[str, Role], word_bytes: int
) -> bool:
    """Whether all that read a reshaped tensor can read it where its input lies."""
    if _alike(model, op.output, home, word_bytes):
        return True
    # What is fully connected takes a map of any shape, and the host copies values out anyway.
    return all(
        isinstance(reader, (graph.FullyConnected, graph.Reshape)) or roles[reader.name] == "host"
        for reader in model.consumers(op.output)
    )


def _alike(model: graph.Model, first: int, second: int, word_bytes: int) -> bool:
    """Whether tensors of the same values have them at the same bytes of memory."""
    channels = [
        graph.rows_columns_channels(model.tensors[index].shape)[-1] for index in (first, second)
    ]
    return channels[0] == channels[1] or not any(n % word_bytes for n in channels)


def _map_of_home(model: graph.Model, index: int, home: int, word_bytes: int) -> FeatureMap:
    """The map of a tensor: of its own shape, unless its values lie as those of its home do."""
    shape = model.tensors[index if _alike(model, index, home, word_bytes) else home].shape
    return map_of(shape, word_bytes)


def map_of(shape: tuple[int, ...], word_bytes: int) -> FeatureMap:
    """Any shape as a feature map."""
    rows, columns, channels = graph.rows_columns_channels(shape)
    return FeatureMap(rows, columns, channels, -(-channels // word_bytes))
