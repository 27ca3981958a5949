# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""A design in simulation whose multipliers are selected while it runs.

Compiling a design takes many seconds. To compare many plans it is compiled once, with kernels that
look products up in tables, and a code per weight that says in which.
"""

from __future__ import annotations

import contextlib
import copy
import ctypes
import hashlib
import io
import math
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from hls4ml.model.flow import get_flow
from hls4ml.model.graph import ModelGraph

from axynq.emulator.errors import ModelError, PlanError, ToolError
from axynq.emulator.keys import layer_key
from axynq.emulator.model.graph import Model
from axynq.emulator.multipliers import ACTIVATION_MIN, Multiplier
from axynq.emulator.plan import MAX_MULTIPLIERS, SKIP, LayerCodes, Plan
from axynq.hls4ml import cpp
from axynq.hls4ml.checks import check_codes, check_layer, is_exact
from axynq.hls4ml.layers import (
    CODES,
    as_network,
    in_memory,
    kernel_shape,
    others,
    weighted_nodes,
)
from axynq.hls4ml.registration import SELECTABLE, check_backend

LOWEST_ACTIVATION, ACTIVATIONS, WEIGHTS = -256, 512, 256
"""Of the product tables."""

_GIVEN = ("KerasModel", "PytorchModel", "OnnxModel")
"""In a design's configuration: the network that it was made from."""

_SOURCES = (".h", ".cpp", ".txt")


class SelectableDesign:
    """A copy of a design, compiled by g++, for which multipliers are selected at any time.

    Its layers that can have multipliers have none at first: everything is multiplied by zero.
    The copy lies in a folder of its own, which goes when the object does. One thread uses it at a
    time; see :meth:`twin`.

    Args:
        hls_model: an hls4ml ``ModelGraph`` of a backend for Xilinx devices. It is not changed, and
            need not be compiled.

    Raises:
        ModelError: no layer can have multipliers, or the design is not one of these backends.
        ToolError: there is no g++, or it does not compile the design.
    """

    simulation: Any
    """The copy: a ``ModelGraph``."""
    network: Model
    """The layers whose multipliers are selected, for plans; see
    :func:`axynq.hls4ml.layers.as_network`."""
    left_out: dict[str, str]
    """By name, the multiplying layers that keep hls4ml's own products, and why."""
    fingerprint: str
    """SHA-256, in hex, of the sources that are compiled: all that results depend on but the
    selected multipliers and the inputs."""

    def __init__(self, hls_model: Any) -> None:
        able, self.left_out = selectable_layers(hls_model)
        self.network = as_network(able, str(hls_model.config.get_project_name()))
        self._nodes = {node.name: node for node in able}
        self._checked: set[tuple[str, str]] = set()
        self._folder = tempfile.TemporaryDirectory(prefix="axynq-hls4ml-")
        self.simulation = _copied(hls_model, self._folder.name)
        for name in self._nodes:
            node = self.simulation.graph[name]
            node.attributes.pop(CODES, None)
            node.set_attr(SELECTABLE, True)
        _compile(self.simulation)
        self.fingerprint = _fingerprint(Path(self._folder.name) / "firmware")
        self._connect()

    def _connect(self) -> None:
        """See the variables of the library that was loaded."""
        library = self.simulation._top_function_lib
        self._products = (ctypes.c_void_p * (MAX_MULTIPLIERS + 2)).in_dll(library, "axynq_products")
        self._codes = {
            name: np.ctypeslib.as_array(
                (ctypes.c_ubyte * math.prod(kernel_shape(node))).in_dll(
                    library, cpp.codes_symbol(node)
                )
            )
            for name, node in self._nodes.items()
        }
        self._tables: dict[Multiplier, npt.NDArray[np.int32]] = {}
        """Of code 1, 2, …: the library has pointers to them."""

    def twin(self) -> SelectableDesign:
        """The same design with multipliers of its own, not compiled again: for another thread."""
        own = Path(self.simulation._top_function_lib._name)
        # From a file of its own, a library is loaded with variables of its own.
        with tempfile.NamedTemporaryFile(suffix=".so", dir=own.parent, delete=False) as file:
            file.write(own.read_bytes())
        made = copy.copy(self)
        made.simulation = copy.copy(self.simulation)
        made.simulation._top_function_lib = ctypes.CDLL(file.name)
        made._connect()
        return made

    def select(self, plan: Plan) -> None:
        """Give the layers of :attr:`network` the multipliers of a plan.

        Raises:
            PlanError: the plan does not fit the network, or a multiplier does not suit a layer.
        """
        expanded = plan.expand(self.network)
        for name, codes in expanded.items():
            self._check(name, codes)
        wanted = {m for codes in expanded.values() for m in codes.multipliers}
        if len(wanted) > MAX_MULTIPLIERS:
            raise PlanError(
                f"the plan has {len(wanted)} multipliers; {MAX_MULTIPLIERS} can be selected at once"
            )
        if len(self._tables.keys() | wanted) > MAX_MULTIPLIERS:
            self._tables.clear()
        for name, codes in expanded.items():
            numbers = np.array([SKIP, *map(self._number, codes.multipliers)], np.uint8)
            self._codes[name][:] = in_memory(self._nodes[name], numbers[codes.codes])

    def _check(self, name: str, codes: LayerCodes) -> None:
        known = (name, layer_key(codes))
        if known not in self._checked:
            check_codes(self._nodes[name], codes)
            self._checked.add(known)

    def _number(self, m: Multiplier) -> int:
        """The code of a multiplier, whose products the design has from here on."""
        if m not in self._tables:
            self._tables[m] = products(m)
            self._products[len(self._tables)] = self._tables[m].ctypes.data
        return list(self._tables).index(m) + 1

    def predict(self, x: npt.NDArray[np.floating[Any]]) -> npt.NDArray[np.floating[Any]]:
        """What the design gives under the selected multipliers.

        Args:
            x: float32 or float64 [examples, ...], as for hls4ml's ``predict``; at least one.

        Returns:
            [examples, values], of the type of ``x``.
        """
        made = self.simulation.predict(np.ascontiguousarray(x))
        return np.asarray(made).reshape(len(x), -1)


def products(m: Multiplier) -> npt.NDArray[np.int32]:
    """A multiplier's products as the design looks them up: int32 ``[w + 128, a + 256]``.

    Activations of -256 are exact multipliers' alone; others take them as -255.
    """
    a = np.arange(LOWEST_ACTIVATION, LOWEST_ACTIVATION + ACTIVATIONS, dtype=np.int64)
    made = m.table[np.maximum(a, ACTIVATION_MIN) - ACTIVATION_MIN].T.copy()
    if is_exact(m):
        made[:, 0] = LOWEST_ACTIVATION * np.arange(-(WEIGHTS // 2), WEIGHTS // 2, dtype=np.int32)
    return np.ascontiguousarray(made, np.int32)


def _check_design(hls_model: Any) -> None:
    if not isinstance(hls_model, ModelGraph):
        raise ModelError(
            f"multipliers are selected in an hls4ml ModelGraph, not in a {type(hls_model).__name__}"
        )
    check_backend(hls_model)


def selectable_layers(hls_model: Any) -> tuple[list[Any], dict[str, str]]:
    """The layers of a design that can have multipliers; and why the others cannot, by name.

    Raises:
        ModelError: as of :class:`SelectableDesign`.
    """
    _check_design(hls_model)
    able: list[Any] = []
    left_out = others(hls_model)
    for node in weighted_nodes(hls_model):
        try:
            check_layer(node)
        except ModelError as error:
            left_out[node.name] = str(error)
        else:
            able.append(node)
    if not able:
        reasons = "".join(f"\n  {reason}" for reason in left_out.values())
        raise ModelError(f"no layer of the design can have multipliers{reasons}")
    return able, left_out


def _copied(hls_model: Any, folder: str) -> Any:
    """The design as one that is written to another folder, not compiled yet."""
    config = hls_model.config
    shared = [config.backend, *(config.config.get(name) for name in _GIVEN)]
    memo: dict[int, Any] = {id(each): each for each in shared}
    # What cannot be copied is made again where it is needed: the library, and iterators that
    # writing has left in the weights.
    remade = [hls_model._top_function_lib]
    for weights in hls_model.get_weight_variables():
        remade += [each for each in vars(weights).values() if isinstance(each, np.nditer)]
    memo |= {id(each): None for each in remade}
    try:
        made = copy.deepcopy(hls_model, memo)
    except (TypeError, ValueError, RecursionError) as error:
        raise ModelError(f"the design cannot be copied: {error}") from error
    made.config.config["OutputDir"] = folder
    made.config.writer_config["WriteTar"] = False
    return made


def _compile(design: Any) -> None:
    if shutil.which("g++") is None:
        raise ToolError("simulating a design needs g++: install it (Debian: apt install g++)")
    said = io.StringIO()
    try:
        with contextlib.redirect_stdout(said):
            for flow in get_flow(design.config.backend.get_default_flow()).requires:
                if flow.endswith(":apply_templates"):
                    design.apply_flow(flow)
            design.compile()
    except Exception as error:
        errors = [line for line in said.getvalue().splitlines() if "error" in line.lower()]
        reason = errors[0] if errors else str(error)
        raise ToolError(f"the design cannot be compiled: {reason.strip()}") from error


def _fingerprint(firmware: Path) -> str:
    content = hashlib.sha256()
    for path in sorted(_sources(firmware)):
        content.update(str(path.relative_to(firmware)).encode() + b"\0" + path.read_bytes())
    return content.hexdigest()


def _sources(folder: Path) -> Iterator[Path]:
    return (path for path in folder.rglob("*") if path.suffix in _SOURCES)
