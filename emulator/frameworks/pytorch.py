# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""PyTorch modules as int8 networks, and int8 networks as PyTorch modules.

>>> model = from_torch(module, calibration)       # an int8 network
>>> approximate = to_torch(model, "roup:1,4")     # a module that computes as the accelerator does
>>> ...                                           # train it as any other
>>> write_back(approximate, module)               # its weights in the original module
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from axynq.emulator.errors import ModelError, ToolError
from axynq.emulator.frameworks.calibration import by_tensor, calibration_inputs
from axynq.emulator.model import graph
from axynq.emulator.plan import Plan
from axynq.emulator.quantisation.float_network import FloatNetwork
from axynq.emulator.quantisation.quantise import Options, Quantised, quantise

if TYPE_CHECKING:
    from torch import nn

    from axynq.emulator.frameworks.torch_module import ApproximateModule


def from_torch(
    module: nn.Module, calibration: Any, options: Options | None = None, name: str | None = None
) -> graph.Model:
    """Convert a PyTorch module to an int8 network.

    The module is traced by ``torch.export`` as it computes after ``eval()``; it is not changed. If
    PT2E has quantised it already, its scales, zero points and integer weights are kept.

    Args:
        module: a module, or an ``ExportedProgram``, whose forward takes and returns tensors with
            the batch first. Feature maps are [images, channels, rows, columns].
        calibration: real inputs as the module takes them: a tensor [examples, ...], a list of
            tensors for several inputs, or a loader of batches, of which 512 examples are used.
            About a hundred examples are enough.
        options: how to quantise; None: the defaults of
            :class:`~axynq.emulator.quantisation.quantise.Options`.
        name: name of the network; None: the name of the module's class.

    Returns:
        The int8 network. Its feature maps have channels last: [images, rows, columns, channels].

    Raises:
        ModelError: the module has operators that int8 networks do not have. The message lists them.
        DataError: the calibration inputs do not fit, or lead to values that are not finite.
        ToolError: PyTorch is not installed.

    Examples:
        >>> model = from_torch(module, calibration)
        >>> Emulator(model, "roup:1,4").accuracy(x.permute(0, 2, 3, 1).numpy(), y)
    """
    return quantised_module(module, calibration, options, name).model


def quantised_module(
    module: nn.Module, calibration: Any, options: Options | None = None, name: str | None = None
) -> Quantised:
    """:func:`from_torch` that also returns the float network."""
    inputs = calibration_inputs(calibration)
    network = float_network(module, inputs, name)
    return quantise(network, by_tensor(network, inputs), options)


def float_network(module: nn.Module, calibration: Any, name: str | None = None) -> FloatNetwork:
    """The float network of a PyTorch module.

    Arguments and errors are those of :func:`from_torch`, but only the shapes of ``calibration``
    matter.
    """
    torch = require_torch()
    from axynq.emulator.frameworks import torch_import

    inputs = calibration_inputs(calibration)
    name = name or type(module).__name__.lower()
    # So many images that what mixes them is seen, and what takes some of them (`x[:2]`) is not
    # taken for all; what was exported before may want so many as it was exported with.
    problem: ModelError | None = None
    for images in dict.fromkeys((7, 2, 1, len(inputs[0]))):
        examples = [
            torch.from_numpy(np.resize(x, (images, *x.shape[1:]))).to(_device(module))
            for x in inputs
        ]
        try:
            return torch_import.float_network(module, examples, name)
        except torch_import.TracingError as error:
            problem = problem or error
    assert problem is not None
    raise problem


def to_torch(model: graph.Model, plan: Plan | str = "exact") -> ApproximateModule:
    """A PyTorch module that computes what the accelerator computes, and can be trained.

    The forward pass is the emulator under the plan, bit for bit. It quantises its inputs and
    returns the real values of the int8 outputs, taken before a final softmax. Inputs and outputs
    are float32 tensors in PyTorch's layout, [images, channels, rows, columns] for feature maps. The
    backward pass has the gradients of ``axynq retrain``: straight-through for rounding and for the
    errors of multipliers, zero where a value is clipped.

    Args:
        model: the int8 network.
        plan: a plan, or a shorthand. The module's attribute ``plan`` can be replaced later.

    Returns:
        A module whose parameters are the real weights and biases, and whose method ``export()``
            returns the int8 network with the current ones.

    Raises:
        PlanError: the plan does not fit the model.
        ModelError: the network has an operator without a gradient.
        ToolError: PyTorch is not installed.

    Examples:
        >>> approximate = to_torch(model, "smapprox:2222")
        >>> loss = torch.nn.functional.cross_entropy(approximate(x), y)
        >>> loss.backward()
        >>> save_model(approximate.export(), "retrained.tflite")
    """
    require_torch()
    from axynq.emulator.frameworks.torch_module import ApproximateModule

    return ApproximateModule(model, Plan.parse(model, plan) if isinstance(plan, str) else plan)


def write_back(trained: ApproximateModule | graph.Model, original: nn.Module) -> None:
    """Write the weights of a trained network into the module that it was made from.

    After ``eval()``, the module then computes in floating point what the int8 network stands for.
    Batch normalisations keep their statistics and factors. Weights are divided by the factors that
    were folded into them, and a bias goes into the normalisation if the layer has none.

    Args:
        trained: the module that :func:`to_torch` returned, or an int8 network.
        original: the module that the network was made from by :func:`from_torch`; it is changed.

    Raises:
        ModelError: the network was not made from this module.
        ToolError: PyTorch is not installed.
    """
    torch = require_torch()
    from axynq.emulator.frameworks import torch_import, torch_weights
    from axynq.emulator.frameworks.torch_module import ApproximateModule, as_pytorch

    if not isinstance(trained, (graph.Model, ApproximateModule)):
        raise ModelError(
            f"a {type(trained).__name__} is no trained network: give what to_torch made, or an "
            "int8 network, and then the module that it was made of"
        )
    model = trained if isinstance(trained, graph.Model) else trained.export()
    examples = [
        torch.zeros(2, *as_pytorch(model.tensors[index].shape), device=_device(original))
        for index in model.inputs
    ]
    network = torch_import.float_network(original, examples, model.name)
    torch_weights.write_back(model, network, original)


def _device(module: Any) -> Any:
    """The device of the module's parameters; the processor if it has none."""
    is_one = hasattr(module, "parameters") and not isinstance(module, type)
    parameters = module.parameters() if is_one else ()
    return next((parameter.device for parameter in parameters), "cpu")


def require_torch() -> Any:
    """PyTorch.

    Raises:
        ToolError: it is not installed.
    """
    try:
        import torch
    except ImportError as error:
        raise ToolError("PyTorch is not installed: pip install 'axynq[torch]'") from error
    return torch


__all__ = ["Options", "from_torch", "to_torch", "write_back"]
