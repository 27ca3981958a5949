# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""The extension of hls4ml: passes that give layers multipliers, and write what these need."""

from __future__ import annotations

import warnings
from functools import partial
from typing import Any

from hls4ml.backends import get_backend
from hls4ml.backends.template import Template
from hls4ml.model.flow import update_flow
from hls4ml.model.layers import Layer
from hls4ml.model.optimizer import ModelOptimizerPass, register_pass

from axynq.emulator.errors import ModelError
from axynq.emulator.plan import Assignment, LayerCodes
from axynq.hls4ml import cpp, project
from axynq.hls4ml.checks import check_codes, check_layer, check_strategy, warn_of_overflow
from axynq.hls4ml.layers import (
    CODES,
    SEPARABLE,
    WEIGHTED,
    as_network,
    cannot,
    others,
    weighted_nodes,
)
from axynq.hls4ml.network_layers import register_network_layers
from axynq.hls4ml.report import report
from axynq.hls4ml.settings import (
    KEY,
    asks,
    assignments,
    check_entries,
    check_parts,
    serves_all,
)
from axynq.hls4ml.stored_codes import StoredCodes

BACKENDS = ("Vivado", "Vitis", "VivadoAccelerator")

SELECTABLE = "axynq_selectable"
"""A layer's attribute: whether its multipliers are selected while a simulation runs."""

_registered: list[str] = []


def register() -> None:
    """Register axynq's multipliers with hls4ml's backends for Xilinx devices.

    ``import axynq.hls4ml`` calls this. Calling it again does nothing.
    """
    if _registered:
        return
    _registered.extend(BACKENDS)
    vivado = get_backend("Vivado")
    # In the first flow, of all backends.
    first = ModelOptimizerPass("axynq_lost", check_lost)
    register_pass(first.name, first)
    update_flow("parse_qonnx", add_optimizers=[first.name])
    # All three backends go through Vivado's types and templates.
    early = ModelOptimizerPass("axynq_configuration", check_configuration)
    vivado.register_pass(early.name, early, flow="vivado:init_layers")
    multipliers = ModelOptimizerPass("axynq_multipliers", give_multipliers)
    vivado.register_pass(multipliers.name, multipliers, flow="vivado:specific_types")
    # Vitis has templates too, which are the last for the parts of a design that is split.
    for backend in (vivado, get_backend("Vitis")):
        backend.register_template(Configuration)
        backend.register_template(Call)
    for name in BACKENDS:
        backend = get_backend(name)
        flows = [f"{name.lower()}:write", f"{name.lower()}:fifo_depth_optimization"]
        sources = ModelOptimizerPass("axynq_sources", write_sources)
        backend.register_pass(sources.name, sources, flow=flows)
    register_network_layers(BACKENDS)


def check_backend(model: Any) -> None:
    """The backend of a design.

    Raises:
        ModelError: it has no multipliers.
    """
    backend = str(model.config.backend.name)
    if backend not in BACKENDS:
        raise ModelError(
            f"the backend {backend} has no multipliers; these have: {', '.join(BACKENDS)}"
        )


def codes_of(node: Any) -> LayerCodes | None:
    """The multipliers of a layer's weights; None where it has hls4ml's own."""
    codes = node.get_attr(CODES)
    return codes if isinstance(codes, LayerCodes) else None


def is_selectable(node: Any) -> bool:
    """Whether a layer's multipliers are selected while a simulation runs."""
    return bool(node.get_attr(SELECTABLE, False))


def check_lost(model: Any) -> None:
    """See whether multipliers that are asked for would be lost: with a backend that has none, or
    where hls4ml takes separable convolutions apart.

    Raises:
        ModelError: the backend has none.
        PlanError: those of a part of a separable convolution would be lost.
    """
    config = model.config.config["HLSConfig"]
    if asks(config):
        check_backend(model)
    if str(model.config.backend.name) not in BACKENDS:
        return
    for node in model.get_layers():
        if node.class_name in SEPARABLE:
            given = model.config.get_layer_config(node)
            check_parts(node.name, given, config.get("LayerName", {}))


def check_configuration(model: Any) -> None:
    """See early whether layers can have the multipliers that they are to have: hls4ml's passes for
    some strategies need packages of their own.

    Raises:
        PlanError: the configuration is malformed, or names a layer or a type that there is not.
        ModelError: a layer cannot have multipliers.
    """
    config = model.config.config["HLSConfig"]
    _refuse_others(config, model)
    check_entries(config, _kinds(model))
    for node, _ in _wanted(model):
        check_strategy(node)
    if serves_all(config):
        for reason in others(model).values():
            warnings.warn(f"{reason}: it keeps hls4ml's own products", stacklevel=2)


def _wanted(model: Any) -> list[tuple[Any, Assignment]]:
    """Layers and their multipliers by the configuration."""
    found = assignments(model.config.config["HLSConfig"], _kinds(model))
    return [(model.graph[name], assignment) for name, assignment in found.items()]


def _kinds(model: Any) -> dict[str, str]:
    """The types of the layers that may have multipliers, by name."""
    return {node.name: node.class_name for node in weighted_nodes(model)}


def give_multipliers(model: Any) -> None:
    """Read the configuration: layers that have multipliers get :data:`CODES`, and the model gets
    ``multiplier_report()``, which is :func:`axynq.hls4ml.report`.

    Raises:
        PlanError: the configuration is malformed, or a multiplier does not suit a layer.
        ModelError: a layer cannot have multipliers.
    """
    for node, assignment in _wanted(model):
        check_layer(node)
        network = as_network([node])
        codes = assignment.expand(network, network.layers[0])
        check_codes(node, codes)
        warn_of_overflow(node, codes)
        node.set_attr(CODES, StoredCodes(codes.multipliers, codes.codes))
    model.multiplier_report = partial(report, model)


def _refuse_others(config: Any, model: Any) -> None:
    for name, entry in config.get("LayerName", {}).items():
        node = model.graph.get(name)
        if node is not None and entry.get(KEY) is not None and node.class_name not in WEIGHTED:
            raise ModelError(
                f"{cannot(node)}; these can: {', '.join(WEIGHTED)}, and separable convolutions"
            )


class _Rewriting(Template):  # type: ignore[misc]
    """Changes what hls4ml's own template, which comes before, has made of a layer."""

    def __init__(self, name: str, attribute: str) -> None:
        super().__init__(name, Layer, attribute)

    def match(self, node: Any) -> bool:
        own = codes_of(node) is not None or is_selectable(node)
        return own and node.get_attr(self.attribute_name) is not None


class Configuration(_Rewriting):
    """The layer's types and kernel."""

    def __init__(self) -> None:
        super().__init__("axynq_config_template", "config_cpp")

    def format(self, node: Any) -> str:
        codes = None if is_selectable(node) else codes_of(node)
        return cpp.configuration(node, node.get_attr("config_cpp"), codes)


class Call(_Rewriting):
    """The layer's function, and the header that it is in."""

    def __init__(self) -> None:
        super().__init__("axynq_function_template", "function_cpp")

    def format(self, node: Any) -> str:
        headers = [*node.get_attr("include_header", ()), cpp.HEADER]
        if is_selectable(node):
            headers.append(cpp.SELECTABLE_HEADER)
        node.set_attr("include_header", headers)
        return cpp.call(node, node.get_attr("function_cpp"))


def write_sources(model: Any) -> None:
    """Add axynq's sources to the project that hls4ml has written."""
    found = [codes for node in model.get_layers() if (codes := codes_of(node)) is not None]
    selectable = any(map(is_selectable, model.get_layers()))
    if found or selectable:
        used = {m.spec: m for codes in found for m in codes.multipliers}
        project.write_sources(model, list(used.values()), selectable)
