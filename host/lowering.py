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
class Lowered:
    """A network split between accelerator and host."""

    steps: tuple[graph.Operator, ...]
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
    steps: list[graph.Operator] = []
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
            steps.append(op)
    if not steps:
        raise ProgramError(f"model '{model.name}' has nothing for the accelerator to do")
    maps = {}
    for step in steps:
        for index in (*step.inputs, step.output):
            maps[index] = _feature_map(model, home[index], word_bytes)
        for index in step.inputs:
            flattened = isinstance(step, graph.FullyConnected)
            if not flattened and _three(model, index) != _three(model, home[index]):
                raise ProgramError(
                    f"'{step.name}' works on a reshaped tensor ({model.tensors[index]}): the "
                    "accelerator reshapes only the network's input and what is fully connected"
                )
    return Lowered(tuple(steps), tuple(host_steps), maps, home)


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


def _three(model: graph.Model, index: int) -> tuple[int, ...]:
    shape = model.tensors[index].shape
    return (1, 1, *shape) if len(shape) == 1 else shape


def _feature_map(model: graph.Model, index: int, word_bytes: int) -> FeatureMap:
    shape = _three(model, index)
    if len(shape) != 3:
        raise ProgramError(
            f"tensor '{model.tensors[index]}' is not a feature map: the accelerator takes "
            "[rows, columns, channels] or [channels]"
        )
    rows, columns, channels = shape
    return FeatureMap(rows, columns, channels, -(-channels // word_bytes))
