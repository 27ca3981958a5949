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
    """The int8 network of a PyTorch module.

    Args:
        module: a module whose forward takes and gives tensors, images first; maps are [images,
            channels, rows, columns]. One that PT2E quantised keeps its scales and zero points.
        calibration: inputs as the module takes them: [examples, ...], a list of them for several
            inputs, or a loader of batches.
        options: how to find ranges, and what to do besides.
        name: of the network; default: that of the module's class.

    Raises:
        ModelError: the module has operators that int8 networks do not; the message lists them.
        DataError: the calibration inputs do not fit, or give values that are not finite.
        ToolError: PyTorch is not installed.
    """
    return quantised_module(module, calibration, options, name).model


def quantised_module(
    module: nn.Module, calibration: Any, options: Options | None = None, name: str | None = None
) -> Quantised:
    """As :func:`from_torch`, with the float network beside the int8 one."""
    inputs = calibration_inputs(calibration)
    network = float_network(module, inputs, name)
    return quantise(network, by_tensor(network, inputs), options)


def float_network(module: nn.Module, calibration: Any, name: str | None = None) -> FloatNetwork:
    """The float network of a PyTorch module; arguments and errors as for :func:`from_torch`, but
    that only shapes matter."""
    torch = require_torch()
    from axynq.emulator.frameworks import torch_import

    inputs = calibration_inputs(calibration)
    name = name or type(module).__name__.lower()
    # Two images, so that what mixes them is seen; what was exported before may want so many as it
    # was exported with.
    problem: ModelError | None = None
    for images in dict.fromkeys((2, 1, len(inputs[0]))):
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
    """A module that computes what the accelerator computes, and can be trained.

    Forward it is the emulator under the plan, bit for bit: inputs are quantised, outputs are the
    real values of the int8 ones, those before a softmax at the end. Gradients are those of
    :mod:`studies.retraining`: straight through the rounding and the multipliers' errors.

    Args:
        model: the int8 network.
        plan: a plan, or its text.

    Raises:
        PlanError: the plan does not fit the model.
        ModelError: the network has an operator without a gradient.
        ToolError: PyTorch is not installed.
    """
    require_torch()
    from axynq.emulator.frameworks.torch_module import ApproximateModule

    return ApproximateModule(model, Plan.parse(model, plan) if isinstance(plan, str) else plan)


def write_back(trained: ApproximateModule | graph.Model, original: nn.Module) -> None:
    """Write the weights of a trained network into the module that it was made of.

    ``original`` then computes in floating point, after ``eval()``, what the int8 network stands
    for. Batch normalisations keep their statistics and factors; weights are divided by what was
    folded into them, and what is left of the biases goes into the normalisation.

    Raises:
        ModelError: the network was not made of this module by :func:`from_torch`.
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
    """Where the module's parameters are; of what is none the processor."""
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
