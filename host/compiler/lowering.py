"""Which operators of a network the accelerator runs, on which feature maps, and which the host."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Union

from axynq.emulator.errors import ProgramError
from axynq.emulator.model import graph
from axynq.host.compiler.abilities import Role, lasts_for, reason, role
from axynq.host.compiler.stages import Unit, in_stages


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
    table: graph.Operator | None = None
    """Operator by value: itself, or one that follows on chip, as above."""

    @property
    def follower(self) -> graph.Operator | None:
        """The operator that follows on chip."""
        return next((op for op in (self.sum, self.table) if op and op is not self.operator), None)

    @property
    def operators(self) -> tuple[graph.Operator, ...]:
        """All of them, in order."""
        return tuple(op for op in (self.pad, self.operator, self.follower) if op)

    @property
    def name(self) -> str:
        """The operators' names in order, for example ``conv_5+add_7``."""
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
class Steps:
    """A stage of the accelerator: it is started once for these steps."""

    numbers: range


@dataclass(frozen=True)
class HostOperators:
    """A stage of the host."""

    operators: tuple[graph.Operator, ...]


StageOf = Union[Steps, HostOperators]


@dataclass(frozen=True)
class Lowered:
    """A network split between accelerator and host."""

    steps: tuple[Step, ...]
    """What the accelerator runs, in order."""
    stages: tuple[StageOf, ...]
    """All steps and what the host computes between them, in order."""
    maps: dict[int, FeatureMap]
    """The feature map of each tensor that a step reads or writes."""
    home: dict[int, int]
    """Tensors that differ in shape only share memory: the tensor they live in."""
    reasons: dict[str, str] = field(default_factory=dict)
    """Why the host computes the operators that it does, by their names."""

    @property
    def host_operators(self) -> tuple[graph.Operator, ...]:
        """All that the host computes, in order."""
        return tuple(
            op
            for stage in self.stages
            if isinstance(stage, HostOperators)
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
    roles = {op.name: role(model, op) for op in model.operators}
    reasons = {op.name: reason(model, op) for op in model.operators if roles[op.name] == "host"}
    for name, why in (on_host or {}).items():
        roles[name], reasons[name] = "host", why
    home = _homes(model, roles, reasons, word_bytes)
    given = {home[index] for index in (*model.inputs, *model.constants)}
    stages: list[StageOf] = []
    steps: list[Step] = []
    for stage in in_stages(_units(model, roles, home), given):
        operators = tuple(op for unit in stage.units for op in unit.operators)
        if stage.on_host:
            for op in operators:
                reasons.setdefault(op.name, "no layer behind it needs the accelerator again")
            stages.append(HostOperators(operators))
        else:
            found = [_step(model, unit, roles) for unit in stage.units]
            stages.append(Steps(range(len(steps), len(steps) + len(found))))
            steps += found
    if not steps:
        why = "; ".join(f"'{name}': {reason}" for name, reason in reasons.items())
        raise ProgramError(
            f"model '{model.name}' has nothing for the accelerator to do"
            + (f" ({why})" if why else "")
        )
    maps = {
        index: _map_of_home(model, index, home[index], word_bytes)
        for step in steps
        for index in step.tensors
    }
    lowered = Lowered(tuple(steps), tuple(stages), maps, home)
    return replace(lowered, reasons={op.name: reasons[op.name] for op in lowered.host_operators})


# --- operators that run together ------------------------------------------------------------------


def _units(model: graph.Model, roles: dict[str, Role], home: dict[int, int]) -> list[Unit]:
    """The operators, those joined that run as one step. Reshapes that move nothing are left out."""
    units: list[Unit] = []
    joined: set[graph.Operator] = set()
    for op in model.operators:
        if isinstance(op, graph.Reshape) and home[op.output] == home[op.inputs[0]]:
            continue
        operators: tuple[graph.Operator, ...] = (op,)
        if roles[op.name] != "host":
            # A layer with an addition runs where that stands: its other operand is there then.
            layer = _layer_before(model, op, roles)
            pad = _own_padding(model, layer or op, roles)
            before = [each for each in (pad, layer) if each is not None]
            operators = (*before, op)
            joined.update(operators[:-1])
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
    return [unit for unit in units if unit.operators[-1] not in joined]


def _step(model: graph.Model, unit: Unit, roles: dict[str, Role]) -> Step:
    """The step that operators make which run together."""
    pad, rest = None, list(unit.operators)
    if len(rest) > 1 and isinstance(rest[0], graph.Pad):
        pad = rest.pop(0)
    operator, last = rest[0], rest[-1]
    source = next(i for i in (pad or operator).inputs if i not in model.constants)
    assert pad is None or isinstance(pad, graph.Pad)
    return Step(
        operator,
        source,
        last.output,
        pad,
        sum=last if roles[last.name] == "sum" else None,
        table=last if roles[last.name] == "table" else None,
    )


def _layer_before(
    model: graph.Model, op: graph.Operator, roles: dict[str, Role]
) -> graph.WeightedLayer | None:
    """The layer that does an operator behind it while its outputs leave the lanes: a sum of maps,
    or an operator by value. Of two operands that layers make, the one with most multiplications,
    which hide the addition best."""
    if roles[op.name] not in ("sum", "table") or (op.inputs[0] == op.inputs[-1] and op.inputs[1:]):
        return None
    layers = [
        layer
        for layer in model.layers
        if layer.output in op.inputs
        and roles[layer.name] == "lanes"
        and lasts_for(model, layer.output, op)
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
        if home[source] in model.inputs and len(list(model.consumers(source))) == 1:
            moved = home[source]
            for index in home:
                if home[index] == moved:
                    home[index] = op.output
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
    rows, columns, channels = graph.rows_columns_channels(shape)
    return FeatureMap(rows, columns, channels, -(-channels // word_bytes))


def map_of(shape: tuple[int, ...], word_bytes: int) -> FeatureMap:
    """Any shape as a feature map."""
    rows, columns, channels = graph.rows_columns_channels(shape)
    return FeatureMap(rows, columns, channels, -(-channels // word_bytes))
