# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""Float networks from PyTorch: what ``torch.export`` traces, operator by operator.

Maps are channels first there and channels last here (:mod:`quantisation.channels_first`). Modules
that PT2E has quantised keep their scales and zero points.
"""

from __future__ import annotations

import operator
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.export.graph_signature import InputKind

from axynq.emulator import files
from axynq.emulator.errors import ModelError
from axynq.emulator.file_formats.problems import together
from axynq.emulator.frameworks.torch_operators import HANDLERS, HINTS
from axynq.emulator.frameworks.torch_values import Constant, Failed, Images, Importer
from axynq.emulator.quantisation.channels_first import ChannelsFirst, Value
from axynq.emulator.quantisation.float_network import FloatNetwork


class TracingError(ModelError):
    """A module cannot be traced."""


@dataclass(frozen=True)
class Traced:
    """A module as a graph of PyTorch's operators."""

    nodes: Sequence[Any]
    """``torch.fx`` nodes in execution order."""
    constants: Mapping[str, Constant]
    """Parameters, buffers and other numbers, by the name of their node."""
    inputs: Sequence[str]
    """Names of the nodes that a user gives."""


def float_network(
    module: nn.Module | torch.export.ExportedProgram, examples: Sequence[torch.Tensor], name: str
) -> FloatNetwork:
    """The float network of a module.

    Args:
        module: any; it is traced as it computes after ``eval()``. What ``torch.export`` made of one
            is taken as it is.
        examples: for each input a batch, [images, ...], of two images or more, so that what mixes
            images is seen.
        name: of the network.

    Raises:
        ModelError: it cannot be traced, or has operators that int8 networks do not; the message
            lists all of them.
    """
    if isinstance(module, torch.export.ExportedProgram):
        return _imported(_of_program(module), name)
    if not isinstance(module, nn.Module):
        raise ModelError(
            f"{module!r} is no PyTorch module: give one that was made, such as Net(), not Net"
        )
    refuse_packed(module)
    with evaluating(module), torch.no_grad():
        traced = _traced(module, tuple(examples))
    return _imported(traced, name)


def load_program(path: str | Path) -> FloatNetwork:
    """The float network of an exported program, a ``.pt2`` file (``torch.export.save``).

    PyTorch may run code that the file holds: it must be of somebody who is trusted.

    Raises:
        ModelError: the file cannot be read or is none, or as :func:`float_network`.
    """
    try:
        files.check_readable(path)
        # Registers the operators that PT2E quantises with.
        with suppress(ImportError):
            import torch.ao.quantization.fx._decomposed
        program = torch.export.load(str(path))
    except OSError as error:
        reason = error.strerror or error
        raise ModelError(f"network '{path}' cannot be read: {reason}") from error
    except Exception as error:  # of zip files, of JSON, of versions: whatever is wrong with it
        raise ModelError(
            f"network '{path}' is no program that torch.export.save of PyTorch "
            f"{torch.__version__} writes: {str(error).splitlines()[0]}"
        ) from error
    return _imported(_of_program(program), Path(path).stem)


def refuse_packed(module: nn.Module) -> None:
    """Raises:
    ModelError: the module was quantised by what PyTorch had before PT2E.
    """
    for name, part in module.named_modules():
        if type(part).__module__.startswith(("torch.ao.nn.quantized", "torch.nn.quantized")):
            raise ModelError(
                f"'{name}' was quantised in PyTorch's eager or FX mode, which PyTorch gives up: "
                "give the float module, or one that convert_pt2e quantised"
            )


@contextmanager
def evaluating(module: nn.Module) -> Iterator[None]:
    """The module after ``eval()``; its parts are as they were afterwards."""
    # What PT2E makes has no such modes.
    training = {part: part.training for part in module.modules() if part.training}
    for part in training:
        part.training = False
    try:
        yield
    finally:
        for part in training:
            part.training = True


def _traced(module: nn.Module, examples: tuple[torch.Tensor, ...]) -> Traced:
    try:
        return _of_program(torch.export.export(module, examples, strict=False))
    except Exception as exported:
        # What depends on data cannot be exported, but may be traced.
        from torch.fx.experimental.proxy_tensor import make_fx

        try:
            return _of_trace(module, make_fx(module)(*examples))
        except Exception as error:
            raise TracingError(
                f"the module cannot be traced for inputs of shape "
                f"{[list(x.shape) for x in examples]}: {_first_line(exported)}. Check that it runs "
                "on them in float32, and that its forward has no branches that depend on values; a "
                "list of tensors is one for each input, and of a loader's batches the first counts"
            ) from error


def _first_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[0] if lines else ''}"


def _of_program(program: Any) -> Traced:
    signature = program.graph_signature
    state = {**dict(program.state_dict), **dict(program.constants)}
    for name, buffer in program.named_buffers():
        state.setdefault(name, buffer)
    names = {
        **dict(signature.inputs_to_parameters),
        **dict(signature.inputs_to_buffers),
        **dict(signature.inputs_to_lifted_tensor_constants),
    }
    constants = {node: Constant(_detached(state[name]), name) for node, name in names.items()}
    given = [spec.arg.name for spec in signature.input_specs if spec.kind is InputKind.USER_INPUT]
    return Traced(list(program.graph.nodes), constants, given)


def _of_trace(module: nn.Module, traced: Any) -> Traced:
    known = {id(value): name for name, value in module.named_parameters()}
    known.update({id(value): name for name, value in module.named_buffers()})
    constants: dict[str, Constant] = {}
    for node in traced.graph.nodes:
        if node.op == "get_attr":
            value = operator.attrgetter(node.target)(traced)
            constants[node.name] = Constant(_detached(value), known.get(id(value), ""))
    inputs = [node.name for node in traced.graph.nodes if node.op == "placeholder"]
    return Traced(list(traced.graph.nodes), constants, inputs)


def _detached(value: Any) -> Any:
    return value.detach().cpu() if isinstance(value, torch.Tensor) else value


def _imported(traced: Traced, name: str) -> FloatNetwork:
    """The network, or one error with all that is wrong."""
    by_name = {node.name: node for node in traced.nodes}
    importer = Importer(ChannelsFirst(name))
    for given in traced.inputs:
        shape = importer.shape(by_name[given])
        if shape is None:
            raise ModelError(f"input '{given}' is no tensor: networks take tensors only")
        importer.images = Images.of(by_name[given])
        importer.values[by_name[given]] = importer.first.input(given, shape)
    outputs: list[Any] = []
    for node in traced.nodes:
        if node in importer.values:
            continue
        if node.op in ("placeholder", "get_attr"):
            importer.values[node] = traced.constants[node.name]
        elif node.op == "output":
            outputs = _flat(importer.resolved(node.args[0]))
        else:
            _import(importer, node)
    if importer.problems:
        raise ModelError(_message(name, importer.problems))
    values = [value for value in outputs if isinstance(value, Value)]
    if not values:
        raise ModelError(f"network '{name}' gives nothing that is computed from its inputs")
    return importer.first.finish(values)


def _import(importer: Importer, node: Any) -> None:
    arguments = importer.resolved((node.args, node.kwargs))
    args, kwargs = arguments
    parts = _flat(arguments)
    if any(isinstance(part, Failed) for part in parts):
        importer.values[node] = Failed()
        return
    if node.target is operator.getitem:
        importer.values[node] = args[0][args[1]]
        return
    handler = HANDLERS.get(_operator(node.target))
    try:
        if not any(isinstance(part, Value) for part in parts) and handler is None:
            importer.values[node] = _computed(node, args, kwargs)
        elif handler is None:
            raise ModelError(_hint(_operator(node.target)))
        elif any(isinstance(part, Value) for part in parts) or _names_scales(node):
            importer.values[node] = handler(importer, node, *args, **kwargs)
        else:
            importer.values[node] = _computed(node, args, kwargs)
    except ModelError as error:
        importer.problems.append(f"{_operator(node.target)} ('{node.name}'): {error}")
        importer.values[node] = Failed()


def _names_scales(node: Any) -> bool:
    """Whether it makes real weights of quantised ones, whose scales are kept."""
    name = _operator(node.target)
    return "dequantize" in name or name.startswith("fake_quantize")


def _computed(node: Any, args: Any, kwargs: Any) -> Any:
    """What an operator makes of numbers alone."""

    def plain(value: Any) -> Any:
        if isinstance(value, Constant):
            return value.tensor
        if isinstance(value, (list, tuple)):
            return type(value)(plain(part) for part in value)
        return value

    result = node.target(*plain(args), **{key: plain(value) for key, value in kwargs.items()})
    if isinstance(result, torch.Tensor):
        return Constant(result)
    if isinstance(result, (list, tuple)):
        return [Constant(part) if isinstance(part, torch.Tensor) else part for part in result]
    return result


def _operator(target: Any) -> str:
    """``conv2d`` of ``aten.conv2d.default``; the same operator in place has the same name."""
    name = str(target)
    if name.startswith(("aten.", "quantized_decomposed.", "torchao.")):
        name = name.split(".")[1]
    return name.removesuffix("_") if not name.startswith("_") else name


def _hint(name: str) -> str:
    return HINTS.get(name, "int8 networks have no such operator: replace it, or cut it off")


def _flat(value: Any) -> list[Any]:
    if isinstance(value, Mapping):
        return [part for each in value.values() for part in _flat(each)]
    if isinstance(value, (list, tuple)):
        return [part for each in value for part in _flat(each)]
    return [value]


def _message(name: str, problems: Sequence[str]) -> str:
    text = together([], list(dict.fromkeys(problems)), ())
    return f"network '{name}' cannot become an int8 network: {text}"
