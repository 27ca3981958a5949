"""Which operators of a network the accelerator runs, on which feature maps."""

from __future__ import annotations

from dataclasses import dataclass

from axynq.emulator.errors import ProgramError
from axynq.emulator.model import graph


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
    residual: graph.Add | None = None
    """Addition that follows on chip: ``output`` is the tensor after it."""

    @property
    def name(self) -> str:
        """The operators' names in order, for example ``conv_5+add_7``."""
        return "+".join(op.name for op in (self.pad, self.operator, self.residual) if op)

    @property
    def residual_operand(self) -> int | None:
        """The other operand of an addition."""
        add = self.operator if isinstance(self.operator, graph.Add) else self.residual
        if add is None:
            return None
        first, second = add.inputs
        computed = self.source if add is self.operator else self.operator.output
        return second if first == computed else first

    @property
    def tensors(self) -> tuple[int, ...]:
        """Tensors read and written."""
        operand = () if self.residual_operand is None else (self.residual_operand,)
        return (self.source, *operand, self.output)


@dataclass(frozen=True)
class Lowered:
    """A network split between accelerator and host."""

    steps: tuple[Step, ...]
    """What the accelerator runs, in order."""
    host_steps: tuple[graph.Softmax, ...]
    """What the host computes on the accelerator's output."""
    maps: dict[int, FeatureMap]
    """The feature map of each tensor that a step reads or writes."""
    home: dict[int, int]
    """Tensors that differ in shape only share memory: the tensor they live in."""


def lower(model: graph.Model, word_bytes: int) -> Lowered:
    """Split ``model`` for an accelerator whose memory words have ``word_bytes`` bytes.

    Raises:
        ProgramError: the network has something neither side does.
    """
    home = _homes(model)
    operators: list[graph.Operator] = []
    host_steps: list[graph.Softmax] = []
    for op in model.operators:
        if isinstance(op, graph.Softmax):
            host_steps.append(op)
        elif not isinstance(op, graph.Reshape):
            if host_steps:
                raise ProgramError(
                    f"'{op.name}' follows '{host_steps[0].name}', which the host computes: only "
                    "the end of a network may run on the host"
                )
            operators.append(op)
    if not operators:
        raise ProgramError(f"model '{model.name}' has nothing for the accelerator to do")
    steps = _steps(model, operators)
    maps = {}
    for step in steps:
        for index in step.tensors:
            maps[index] = _feature_map(model, home[index], word_bytes)
            flattened = index == step.source and isinstance(step.operator, graph.FullyConnected)
            if not flattened and not _same_map(model, index, home[index]):
                raise ProgramError(
                    f"'{step.name}' works on a reshaped tensor ({model.tensors[index]}): the "
                    "accelerator reshapes only the network's input and what is fully connected"
                )
    return Lowered(steps, tuple(host_steps), maps, home)


def _steps(model: graph.Model, operators: list[graph.Operator]) -> tuple[Step, ...]:
    """The operators as steps, additions and paddings joined to the layers that can do them."""
    steps = []
    joined: set[graph.Operator] = set()
    for op in operators:
        # A layer with an addition runs where the addition stands: its other operand is there then.
        layer = _residual_layer(model, op) if isinstance(op, graph.Add) else None
        pad = _own_padding(model, layer or op)
        if layer is None:
            steps.append(Step(op, (pad or op).inputs[0], op.output, pad))
        else:
            assert isinstance(op, graph.Add)
            steps.append(Step(layer, (pad or layer).inputs[0], op.output, pad, op))
            joined.add(layer)
        if pad is not None:
            joined.add(pad)
    return tuple(step for step in steps if step.residual or step.operator not in joined)


def _residual_layer(model: graph.Model, add: graph.Add) -> graph.WeightedLayer | None:
    """The layer that can add its output to the other operand, where one of them can: the one with
    most multiplications, which hide the addition best."""
    if add.inputs[0] == add.inputs[1]:
        return None
    layers = [
        layer
        for layer in model.layers
        if layer.output in add.inputs and _only_for(model, layer.output, add)
    ]
    return max(layers, key=model.multiplications, default=None)


def _own_padding(model: graph.Model, layer: graph.Operator) -> graph.Pad | None:
    """The padding before a convolution, which the convolution can do: both pad with zeros."""
    if not isinstance(layer, (graph.Convolution, graph.DepthwiseConvolution)):
        return None
    for pad in model.operators:
        if (
            isinstance(pad, graph.Pad)
            and pad.output == layer.inputs[0]
            and _only_for(model, pad.output, layer)
            and model.tensors[pad.inputs[0]].zero_point == model.tensors[pad.output].zero_point
        ):
            return pad
    return None


def _only_for(model: graph.Model, tensor: int, reader: graph.Operator) -> bool:
    """Whether nothing else reads the tensor."""
    return tensor != model.output_index and list(model.consumers(tensor)) == [reader]


def _homes(model: graph.Model) -> dict[int, int]:
    """Each reshape shares memory with its input; one of the network's input with its output,
    because the host writes that in whatever shape."""
    home = {index: index for index in range(len(model.tensors))}
    for op in model.operators:
        if not isinstance(op, graph.Reshape):
            continue
        source = op.inputs[0]
        if home[source] == model.input_index and len(list(model.consumers(source))) == 1:
            moved = home[source]
            for index in home:
                if home[index] == moved:
                    home[index] = op.output
        else:
            home[op.output] = home[source]
    return home


def _is_map(shape: tuple[int, ...]) -> bool:
    return len(shape) in (1, 3)


def _same_map(model: graph.Model, first: int, second: int) -> bool:
    shapes = [model.tensors[index].shape for index in (first, second)]
    maps = {graph.rows_columns_channels(shape) for shape in shapes}
    return all(map(_is_map, shapes)) and len(maps) == 1


def _feature_map(model: graph.Model, index: int, word_bytes: int) -> FeatureMap:
    shape = model.tensors[index].shape
    if not _is_map(shape):
        raise ProgramError(
            f"tensor '{model.tensors[index]}' is not a feature map: the accelerator takes "
            "[rows, columns, channels] or [channels]"
        )
    rows, columns, channels = graph.rows_columns_channels(shape)
    return FeatureMap(rows, columns, channels, -(-channels // word_bytes))
