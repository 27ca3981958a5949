# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""Any 8x8 multiplier of the user's: a 256x256 table, a C function as EvoApproxLib ships them, or a
Verilog module."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt

from axynq.emulator import files
from axynq.emulator.arrays import open_arrays
from axynq.emulator.errors import MultiplierError
from axynq.emulator.multipliers.base import (
    ACTIVATION_MIN,
    WEIGHT_MIN,
    IntArray,
    Multiplier,
    family,
)
from axynq.emulator.multipliers.c_function import tabulate
from axynq.emulator.multipliers.circuit import CCircuit, Circuit, Operands, VerilogCircuit
from axynq.emulator.multipliers.signedness import Interpretation, interpret, named_signedness
from axynq.emulator.multipliers.specification import (
    TABLE_SUFFIXES,
    Argument,
    TableReference,
)
from axynq.emulator.multipliers.verilog_module import VerilogModule, read_verilog


@family("table")
class Table(Multiplier):
    """A multiplier defined by a 256x256 table ``[a][w]``.

    An *unsigned* table holds products of magnitudes; the sign is the exclusive or of the operands'
    sign bits. A *signed* table holds products of two's complement bytes; its activation operand
    must fit int8, so it can only be used for layers whose input zero point is 0. A Verilog module
    may also multiply the 9-bit activation and the weight themselves; then the table is 511x256.
    """

    SYNTAX = (
        "table:FILE#NAME (.npz, .npy, .c or .v; 8x8 bits), and if need be "
        ",signed ,unsigned ,activation=first ,activation=second behind it"
    )

    name: str
    """The array, C function or module, empty for a ``.npy`` file."""
    signed: bool
    """Whether the table is indexed by two's complement bytes instead of magnitudes."""
    source: str
    """Where the table came from, whether it is signed, which argument is the activation, and what
    says so."""

    operands: Operands
    """What the table's indices are."""
    circuit: Circuit | None
    """What it was computed from, and hardware can be made of; None for data alone."""

    def __init__(
        self,
        spec: str,
        values: npt.NDArray[np.int64],
        operands: Operands,
        source: str,
        name: str = "",
        circuit: Circuit | None = None,
    ) -> None:
        self.spec = spec
        self.name = name
        self.operands = operands
        self.signed = operands != "magnitudes"
        self.source = source
        self.values = values
        self.circuit = circuit
        if operands == "bytes":
            self.activation_range = (-128, 127)

    @classmethod
    def parse(cls, arguments: str) -> Table:
        """Load ``FILE#NAME``; the name may be left out where the file holds a single table.

        ``,signed`` or ``,unsigned``, ``,activation=first`` or ``,activation=second`` behind it say
        what cannot be found out.

        Raises:
            MultiplierError: the file cannot be used, or it is not clear whether it is signed.
            ToolError: it is Verilog, and Yosys is not installed.
        """
        reference = TableReference.parse(arguments)
        path = reference.path()
        if not files.is_file(path):
            raise MultiplierError(f"multiplier table file '{reference.file}' does not exist")
        suffix = path.suffix.lower()
        if suffix not in TABLE_SUFFIXES:
            raise MultiplierError(
                f"'{reference.file}': a multiplier table is a .npz, .npy, .c or .v file"
            )
        load = {".c": _load_c_function, ".v": _load_verilog}.get(suffix, _load_array)
        loaded = load(path, reference)
        values = loaded.values
        if max(-int(values.min()), int(values.max())) >= 2**31:
            raise MultiplierError(f"'table:{arguments}': products must fit 32 bits")
        if loaded.operands != "activation and weight" and loaded.activation == "second":
            values = values.T
        if loaded.operands != "activation and weight" and np.array_equal(values, values.T):
            order = f"either {loaded.noun} may be the activation: it commutes"
        else:
            order = f"{loaded.activation} {loaded.noun} is the activation ({loaded.why})"
        word = "unsigned" if loaded.operands == "magnitudes" else "signed"
        made = cls(
            f"table:{arguments}",
            np.ascontiguousarray(values),
            loaded.operands,
            f"{loaded.source}: {word} ({loaded.reason}), {order}",
            loaded.name,
            loaded.circuit,
        )
        if loaded.same_as is not None:
            _check_same(made, loaded.same_as, path.parent)
        return made

    def compute(self, a: IntArray, w: IntArray) -> IntArray:
        if self.operands == "activation and weight":
            return self.values[a - ACTIVATION_MIN, w - WEIGHT_MIN]
        if self.operands == "bytes":
            return self.values[a & 255, w & 255]
        magnitude = self.values[np.abs(a), np.abs(w)]
        return np.where((a < 0) ^ (w < 0), -magnitude, magnitude)

    @cached_property
    def content(self) -> str:
        """SHA-256 of all products, in hex: the same for tables that multiply alike."""
        return hashlib.sha256(self.table.tobytes()).hexdigest()


def _check_same(made: Table, other: str, folder: Path) -> None:
    """Compare a module with the table that is said to be the same.

    Raises:
        MultiplierError: they differ; the message has the first pair of operands.
    """
    reference = TableReference.parse(other, folder)
    table = Table.parse(replace(reference, file=str(reference.path(folder))).spec[len("table:") :])
    differs = f"'{made.spec}' is not the table '{other}' beside it"
    low, high = made.activation_range
    if table.activation_range != (low, high):
        raise MultiplierError(f"{differs}: its operands are others")
    rows = slice(low - ACTIVATION_MIN, high + 1 - ACTIVATION_MIN)
    pairs = np.argwhere(made.table[rows] != table.table[rows])
    if pairs.size:
        a, w = int(pairs[0, 0]) + low, int(pairs[0, 1]) + WEIGHT_MIN
        raise MultiplierError(
            f"{differs}: {a} x {w} is {made.product(a, w)}, and {table.product(a, w)} by the table"
        )


@dataclass(frozen=True)
class _Loaded:
    """What a file holds."""

    name: str
    values: npt.NDArray[np.int64]
    """[first, second], or [activation, weight] where those are the operands."""
    operands: Operands
    reason: str
    """What says what the operands are."""
    source: str
    """Where it is from."""
    noun: str
    """What its two operands are called."""
    activation: Argument
    """Which of them is the activation, and what says so."""
    why: str
    circuit: Circuit | None = None
    same_as: str | None = None
    """A table that has to be the same."""


def _operands(entries: Interpretation) -> Operands:
    return "bytes" if entries.signed else "magnitudes"


def _load_array(path: Path, reference: TableReference) -> _Loaded:
    name = reference.name
    try:
        with open_arrays(path) as arrays:
            names = list(arrays)
            if len(names) == 1 and (not name or names == [""]):
                name = names[0]
            if name not in names:
                lacks = f"has no table '{name}'" if name else "holds several: write #NAME behind it"
                raise MultiplierError(f"'{path}' {lacks}; it has: {', '.join(names)}")
            values = np.asarray(arrays[name])
    except (OSError, ValueError) as error:
        raise MultiplierError(f"'{path}' cannot be read as a numpy file: {error}") from error
    what = f"{path}#{name}" if name else str(path)
    if values.shape != (256, 256) or values.dtype.kind not in "iu":
        raise MultiplierError(
            f"'{what}' must hold 256x256 integers, not {values.dtype} of {values.shape}"
        )
    table = values.astype(np.int64)
    entries = interpret(
        table,
        table,
        what,
        given=reference.signed,
        named=named_signedness(name or path.stem),
    )
    why = "assumed" if reference.activation is None else "as given"
    source = f"{path.name}, {name}" if name else path.name
    return _Loaded(
        name,
        entries.values,
        _operands(entries),
        entries.reason,
        source,
        "index",
        reference.activation or "first",
        why,
    )


def _load_c_function(path: Path, reference: TableReference) -> _Loaded:
    function = tabulate(path, reference.name)
    entries = interpret(
        function.of_magnitudes,
        function.of_bytes,
        f"{path}#{function.name}",
        given=reference.signed,
        named=named_signedness(function.name),
        declared=function.declared_signed,
    )
    activation, why = _activation(reference, function.activation)
    source = f"{path.name}, {function.name}({', '.join(function.parameters)})"
    operands = _operands(entries)
    circuit = CCircuit(function.name, function.text, operands, activation, function.types)
    return _Loaded(
        function.name,
        entries.values,
        operands,
        entries.reason,
        source,
        "argument",
        activation,
        why,
        circuit,
    )


def _load_verilog(path: Path, reference: TableReference) -> _Loaded:
    module = read_verilog(path, reference.name)
    what = f"{path}#{module.name}"
    if module.nine_bits:
        if reference.signed is False:
            raise MultiplierError(f"'{what}': an activation of 9 bits is signed")
        values, reason = module.products, "9 bits by 8"
        operands: Operands = "activation and weight"
    else:
        edge = 1 << module.widths[2] - 1
        entries = interpret(
            module.products,
            (module.products ^ edge) - edge,
            what,
            given=module.signed if reference.signed is None else reference.signed,
            named=named_signedness(module.name),
        )
        values, operands, reason = entries.values, _operands(entries), entries.reason
    activation, why = _activation(reference, module.activation)
    if module.nine_bits and activation != module.activation:
        raise MultiplierError(f"'{what}': the activation is the operand of 9 bits")
    circuit = VerilogCircuit(
        module.name,
        module.text,
        operands,
        activation,
        module.ports,
        module.widths,
        module.latency,
        module.gates,
    )
    return _Loaded(
        module.name,
        values,
        operands,
        reason,
        f"{path.name}, {_described(module)}",
        "port",
        activation,
        why,
        circuit,
        module.table,
    )


def _described(module: VerilogModule) -> str:
    text = f"{module.name}({', '.join(module.ports.operands)})"
    return f"{text}, latency {module.latency}" if module.latency else text


def _activation(reference: TableReference, named: Argument | None) -> tuple[Argument, str]:
    """The operand that is the activation, and what says so."""
    if reference.activation is not None:
        return reference.activation, "as given"
    if named is not None:
        return named, "the one called A"
    return "first", "assumed"
