# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""Layers for hls4ml that int8 networks need beside its own, and their C++ configuration.

Importing this module imports hls4ml.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import Any, ClassVar

from hls4ml.backends import get_backend
from hls4ml.backends.template import FunctionCallTemplate, LayerConfigTemplate
from hls4ml.model.attributes import Attribute
from hls4ml.model.layers import Layer, register_layer
from hls4ml.model.optimizer import ModelOptimizerPass

from axynq.emulator import files
from axynq.hls4ml.headers import inlined
from axynq.hls4ml.layer_writer import Constants

HEADER = "nnet_axynq_network.h"


class AxynqOperator(Layer):  # type: ignore[misc]  # hls4ml has no type hints
    """What they have in common: a struct of ``nnet_axynq_network.h`` and its constants."""

    _expected_attributes: ClassVar[list[Any]] = [
        Attribute("output_shape", value_type=list),
        Attribute("operation", value_type=str),
        Attribute("constants", value_type=dict),
    ]

    def initialize(self) -> None:
        self.add_output_variable(self.get_attr("output_shape"))


class AxynqRequantise(AxynqOperator):
    """Accumulators become int8 values by a factor per filter."""


class AxynqLookup(AxynqOperator):
    """A function of single values, as a table."""


class AxynqAdd(AxynqOperator):
    """The sum of two feature maps."""


class AxynqPool(AxynqOperator):
    """Maximum, average or mean of windows."""


LAYERS = (AxynqRequantise, AxynqLookup, AxynqAdd, AxynqPool)
FUNCTIONS = {"AxynqAdd": "each_pair", "AxynqPool": "each_window"}
"""Functions of the header, where they are not ``each_value``."""


class OperatorConfiguration(LayerConfigTemplate):  # type: ignore[misc]
    """The constants as a C++ struct."""

    def __init__(self) -> None:
        super().__init__(LAYERS)

    def format(self, node: Any) -> str:
        constants = {"reuse_factor": node.get_attr("reuse_factor"), **node.get_attr("constants")}
        return configuration(f"config{node.index}", node.get_attr("operation"), constants)


def configuration(name: str, operation: str, constants: Constants) -> str:
    """The C++ struct of that name with an operation of the header and its constants."""
    inside, outside = [f"typedef nnet_axynq::{operation} operation;"], []
    for key, value in constants.items():
        if isinstance(value, list):
            inside.append(f"static const int {key}[{len(value)}];")
            # Defined outside of the struct for C++14, which HLS tools take.
            values = ", ".join(map(str, value))
            outside.append(f"const int {name}::{key}[] = {{{values}}};\n")
        else:
            inside.append(f"static const int {key} = {value};")
    body = "".join(f"    {line}\n" for line in inside)
    return f"struct {name} {{\n{body}}};\n" + "".join(outside)


class OperatorCall(FunctionCallTemplate):  # type: ignore[misc]
    """The call of the function that applies the operation."""

    def __init__(self) -> None:
        super().__init__(LAYERS, include_header=[f"nnet_utils/{HEADER}"])

    def format(self, node: Any) -> str:
        inputs = [node.get_input_variable(name) for name in node.inputs]
        variables = [*inputs, node.get_output_variable()]
        function = FUNCTIONS.get(node.class_name, "each_value")
        types = ", ".join([*(v.type.name for v in variables), f"config{node.index}"])
        return f"nnet_axynq::{function}<{types}>({', '.join(v.name for v in variables)});"


def register_network_layers(backends: Sequence[str]) -> None:
    """Make the layers known to hls4ml and to its backends for Xilinx devices; to be called once."""
    for layer in LAYERS:
        register_layer(layer.__name__, layer)
    # All of them go through Vivado's templates; parts of a split design through those of Vitis.
    for backend in (get_backend("Vivado"), get_backend("Vitis")):
        backend.register_template(OperatorConfiguration)
        backend.register_template(OperatorCall)
    for name in backends:
        sources = ModelOptimizerPass("axynq_network_sources", write_sources)
        flows = [f"{name.lower()}:write", f"{name.lower()}:fifo_depth_optimization"]
        get_backend(name).register_pass(sources.name, sources, flow=flows)


def write_sources(model: Any) -> None:
    """Add the header of the layers to the project that hls4ml has written, if it has such."""
    if any(isinstance(node, AxynqOperator) for node in model.get_layers()):
        write_header(Path(model.config.get_output_dir()) / "firmware" / "nnet_utils")
        model.config.backend.writer.write_tar(model)


def write_header(folder: Path) -> None:
    """Write the header of the layers, and what it includes, into a folder."""
    header = resources.files("axynq.hls4ml") / "include" / HEADER
    files.write_text(folder / HEADER, header.read_text(encoding="utf-8"))
    files.write_text(folder / "axynq_requantise.h", inlined("axynq/requantise.hpp"))
