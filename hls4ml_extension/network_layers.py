"""Layers for hls4ml that int8 networks need beside its own, and their C++ configuration.

Importing this module imports hls4ml.
"""

from __future__ import annotations

import math
from importlib import resources
from pathlib import Path
from typing import Any

from hls4ml.backends import get_backend
from hls4ml.backends.template import FunctionCallTemplate, LayerConfigTemplate
from hls4ml.model.attributes import Attribute
from hls4ml.model.layers import Layer, layer_map, register_layer

from axynq.hls4ml.headers import header_file

HEADER = "nnet_axynq_network.h"


class AxynqOperator(Layer):  # type: ignore[misc]  # hls4ml has no type hints
    """What they have in common: a struct of ``nnet_axynq_network.h`` and its constants."""

    _expected_attributes = [  # noqa: RUF012
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
        name = f"config{node.index}"
        constants = {"reuse_factor": node.get_attr("reuse_factor"), **node.get_attr("constants")}
        inside, outside = [f"typedef axynq::{node.get_attr('operation')} operation;"], []
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
        return f"axynq::{function}<{types}>({', '.join(v.name for v in variables)});"


def register_network_layers(backend: str) -> None:
    """Make the layers known to hls4ml and to one of its backends; once more does no harm.

    Raises:
        ToolError: the cache folder, where a header is put together, cannot be written.
    """
    for layer in LAYERS:
        if layer.__name__ not in layer_map:
            register_layer(layer.__name__, layer)
    target = get_backend(backend)
    package = Path(str(resources.files("axynq.hls4ml") / "include" / HEADER)).resolve()
    if f"nnet_utils/{HEADER}" not in target.get_custom_source():
        for template in (OperatorConfiguration, OperatorCall):
            target.register_template(template)
        target.register_source(package)
    target.register_source(header_file("requantise.hpp"))
