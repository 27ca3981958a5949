# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""int8 networks as hls4ml designs that compute what the emulator computes, bit for bit."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from hls4ml.model.graph import ModelGraph
from hls4ml.utils.config import create_config

from axynq.emulator.errors import ModelError, ToolError
from axynq.emulator.model import graph
from axynq.emulator.multipliers import Exact
from axynq.emulator.plan import SKIP, Assignment, Plan
from axynq.emulator.softmax import log_softmax, softmax
from axynq.hls4ml.layer_list import layer_list
from axynq.hls4ml.layer_writer import LayerList
from axynq.hls4ml.network_parts import parts
from axynq.hls4ml.registration import BACKENDS
from axynq.hls4ml.settings import KEY, with_plan

IoType = Literal["io_parallel", "io_stream"]


def from_model(
    model: graph.Model,
    plan: Plan | str | None = None,
    *,
    output_dir: str | Path,
    backend: str = "Vitis",
    io_type: IoType = "io_parallel",
    hls_config: Mapping[str, Any] | None = None,
    **options: Any,
) -> Any:
    """Convert an int8 network to an hls4ml design.

    Compiled by g++, the design gives the int8 values of ``Emulator(model, plan).run``. hls4ml's
    ``predict``, ``trace`` and ``build`` work on it. ``predict`` uses centred values, ``q - zero
    point``, which are integers in -255..255: it takes float32 or float64 ``[images,
    *model.input.shape]`` and returns [images, values] of the last tensor before a final softmax,
    which runs on the host. :func:`run` converts both, and computes the softmax.

    Args:
        model: the network, with one input and one output.
        plan: a plan, or a shorthand; None: exact multipliers.
        output_dir: the folder that hls4ml writes the design to.
        backend: ``Vitis``, ``Vivado`` or ``VivadoAccelerator``.
        io_type: whether feature maps are arrays (``io_parallel``) or streams (``io_stream``).
            Designs with arrays of large feature maps take long to compile.
        hls_config: further entries of hls4ml's configuration, such as ``ReuseFactor``,
            ``Strategy`` and ``Trace``, in its sections ``Model``, ``LayerType`` and ``LayerName``.
            Layers have the names of the network's operators; ``conv_0`` is followed by
            ``conv_0_requantise``. Precisions are the network's and cannot be set.
        options: further options of hls4ml's ``create_config``, such as ``part``,
            ``clock_period`` and ``project_name``.

    Returns:
        An hls4ml ``ModelGraph``.

    Raises:
        ModelError: the network has several inputs or outputs, or an operator that cannot be in a
            design; the message names it. Or ``hls_config`` does not fit.
        PlanError: the plan does not fit the network, or a multiplier has no hardware.

    Examples:
        >>> design = from_model(model, "llam=roup:1,4", output_dir="design")
        >>> design.compile()
        >>> y = run(design, images)
    """
    if not isinstance(model, graph.Model):
        raise ModelError(f"from_model takes what load_model gives, not a {type(model).__name__}")
    _check_choice("backend", backend, BACKENDS)
    _check_choice("io_type", io_type, ("io_parallel", "io_stream"))
    if plan is None:
        plan = Plan.uniform("exact")
    elif isinstance(plan, str):
        plan = Plan.parse(model, plan)
    streams = io_type == "io_stream"
    listed = layer_list(model, streams)
    config = _hls_config(model, listed, hls_config or {})
    config = with_plan(config, _approximate_part(model, plan, streams))
    whole = create_config(output_dir=str(output_dir), backend=backend, io_type=io_type, **options)
    whole["HLSConfig"] = config
    first, last = listed.layers[0]["name"], listed.layers[-1]["name"]
    design = ModelGraph.from_layer_list(whole, listed.layers, inputs=[first], outputs=[last])
    design.axynq_model = model
    return design


def _check_choice(what: str, choice: str, choices: tuple[str, ...]) -> None:
    if choice not in choices:
        raise ModelError(f"{what} '{choice}' is not one of {', '.join(choices)}")


def _approximate_part(model: graph.Model, plan: Plan, streams: bool) -> Plan:
    """The plan for the layers that hls4ml's own kernels do not do: those with multipliers that are
    not exact, and depthwise ones of arrays, for which it has no strategy ``Resource``."""
    layers: dict[str, Assignment] = {}
    for name, codes in plan.expand(model).items():
        exact = all(isinstance(m, Exact) for m in codes.multipliers) and SKIP not in codes.codes
        depthwise = isinstance(model.layer(name), graph.DepthwiseConvolution)
        assignment = plan.layers.get(name, plan.default)
        if assignment is not None and not (exact and (streams or not depthwise)):
            layers[name] = assignment
    return Plan(layers)


def _hls_config(model: graph.Model, listed: LayerList, given: Mapping[str, Any]) -> dict[str, Any]:
    """hls4ml's configuration: the precisions, and what the user adds."""
    config: dict[str, Any] = {
        # Layers that hls4ml puts between others have the precision of those.
        "Model": {"Precision": {"default": "ap_int<9>"}, "ReuseFactor": 1, "Strategy": "Latency"},
        "LayerType": {},
        "LayerName": {name: {"Precision": each} for name, each in listed.precisions.items()},
    }
    for section, content in _mapping("hls_config", given).items():
        if section not in config:
            raise ModelError(f"hls_config has sections {', '.join(config)}, not '{section}'")
        entries = {section: content} if section == "Model" else content
        for name, entry in _mapping(f"hls_config, section {section}", entries).items():
            _mapping(f"hls_config of '{name}'", entry)
            _check_entry(model, listed, section, name, entry)
            into = config if section == "Model" else config[section]
            into[name] = {**into.get(name, {}), **entry}
    return config


def _mapping(what: str, given: Any) -> Mapping[str, Any]:
    if not isinstance(given, Mapping):
        raise ModelError(f"{what} is a dictionary, not {type(given).__name__}")
    return given


def _check_entry(
    model: graph.Model, listed: LayerList, section: str, name: str, entry: Mapping[str, Any]
) -> None:
    if section == "LayerName" and name not in listed.precisions:
        raise ModelError(
            f"hls_config names layer '{name}', which the design of model '{model.name}' does not "
            f"have; its layers are: {', '.join(listed.precisions)}"
        )
    for key, whose in (("Precision", "the network's"), (KEY, "the plan's")):
        if key in entry:
            raise ModelError(f"hls_config gives '{name}' a {key}, which is {whose}")


def run(design: Any, x: npt.ArrayLike, model: graph.Model | None = None) -> graph.Int8Array:
    """Run a compiled design of :func:`from_model` on a batch.

    Args:
        design: the design, after ``compile()``.
        x: a batch ``[images, *model.input.shape]``: int8 in the model's input quantisation, floats,
            which are quantised first, or uint8 if the model's file takes uint8.
        model: the network, needed only for a design that hls4ml has loaded from a folder.

    Returns:
        The int8 output ``[images, *model.output.shape]``, as ``Emulator.run`` returns it. A final
            softmax is computed here.

    Raises:
        DataError: ``x`` has a wrong shape or type.
        ModelError: the design's network is not known.
        ToolError: the design is not compiled.
    """
    model = getattr(design, "axynq_model", None) if model is None else model
    if model is None:
        raise ModelError("the design does not know its network: give it, run(design, x, model)")
    if design._top_function_lib is None:
        raise ToolError("the design is not compiled: call its compile() first")
    cut = parts(model)
    target = model.tensors[cut.output]
    batch = model.input.batch(x)
    given = np.zeros(0, np.float32)
    if len(batch):
        centred = batch.astype(np.float32) - np.float32(model.input.zero_point)
        given = np.asarray(design.predict(np.ascontiguousarray(centred)))
    y = (given.reshape(len(batch), *target.shape) + target.zero_point).astype(np.int8)
    for op in cut.host:
        y = _on_host(model, op, y)
    return y


def _on_host(model: graph.Model, op: graph.Operator, y: graph.Int8Array) -> graph.Int8Array:
    if isinstance(op, graph.Softmax):
        return softmax(model.tensors[op.inputs[0]].scale, op.beta, y)
    if isinstance(op, graph.LogSoftmax):
        return log_softmax(model.tensors[op.inputs[0]].scale, y)
    return y.reshape(len(y), *model.tensors[op.output].shape)
