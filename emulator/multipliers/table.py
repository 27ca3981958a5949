"""Any 8x8 multiplier given as data: a 256x256 table, or the C function EvoApproxLib ships."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from axynq.emulator.arrays import open_arrays
from axynq.emulator.errors import MultiplierError
from axynq.emulator.multipliers.base import IntArray, Multiplier
from axynq.emulator.multipliers.c_function import tabulate
from axynq.emulator.multipliers.signedness import Interpretation, interpret, named_signedness
from axynq.emulator.multipliers.specification import (
    TABLE_SUFFIXES,
    Argument,
    TableReference,
)


class Table(Multiplier):
    """A multiplier defined by a 256x256 table ``[a][w]``.

    An *unsigned* table holds products of magnitudes; the sign is the exclusive or of the operands'
    sign bits. A *signed* table holds products of two's complement bytes; its activation operand
    must fit int8, so it can only be used for layers whose input zero point is 0.
    """

    SYNTAX = (
        "table:FILE#NAME (.npz, .npy or .c; 256x256), and if need be "
        ",signed ,unsigned ,activation=first ,activation=second behind it"
    )

    name: str
    """The array or C function, empty for a ``.npy`` file."""
    signed: bool
    """Whether the table is indexed by two's complement bytes instead of magnitudes."""
    source: str
    """Where the table came from, whether it is signed, which argument is the activation, and what
    says so."""

    def __init__(
        self, spec: str, values: npt.NDArray[np.int64], signed: bool, source: str, name: str = ""
    ) -> None:
        self.spec = spec
        self.name = name
        self.signed = signed
        self.source = source
        self.values = values
        if signed:
            self.activation_range = (-128, 127)

    @classmethod
    def parse(cls, arguments: str) -> Table:
        """Load ``FILE#NAME``; the name may be left out where the file holds a single table.

        ``,signed`` or ``,unsigned``, ``,activation=first`` or ``,activation=second`` behind it say
        what cannot be found out.

        Raises:
            MultiplierError: the file cannot be used, or it is not clear whether it is signed.
        """
        reference = TableReference.parse(arguments)
        path = reference.path()
        if not path.is_file():
            raise MultiplierError(f"multiplier table file '{reference.file}' does not exist")
        if path.suffix.lower() not in TABLE_SUFFIXES:
            raise MultiplierError(
                f"'{reference.file}': a multiplier table is a .npz, .npy or .c file"
            )
        load = _load_c_function if path.suffix.lower() == ".c" else _load_array
        name, entries, source, noun, activation, why = load(path, reference)
        if max(-int(entries.values.min()), int(entries.values.max())) >= 2**31:
            raise MultiplierError(f"'table:{arguments}': products must fit 32 bits")
        values = entries.values if activation == "first" else entries.values.T
        if np.array_equal(values, values.T):
            order = f"either {noun} may be the activation: it commutes"
        else:
            order = f"{activation} {noun} is the activation ({why})"
        word = "signed" if entries.signed else "unsigned"
        return cls(
            f"table:{arguments}",
            np.ascontiguousarray(values),
            entries.signed,
            f"{source}: {word} ({entries.reason}), {order}",
            name,
        )

    def compute(self, a: IntArray, w: IntArray) -> IntArray:
        if self.signed:
            return self.values[a & 255, w & 255]
        magnitude = self.values[np.abs(a), np.abs(w)]
        return np.where((a < 0) ^ (w < 0), -magnitude, magnitude)


_Loaded = tuple[str, Interpretation, str, str, Argument, str]
"""Name; entries [first, second]; where from; what its two operands are called; which of them is the
activation, and what says so."""


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
    return name, entries, source, "index", reference.activation or "first", why


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
    if reference.activation is not None:
        activation, why = reference.activation, "as given"
    elif function.activation is not None:
        activation, why = function.activation, "the one called A"
    else:
        activation, why = "first", "assumed"
    source = f"{path.name}, {function.name}({', '.join(function.parameters)})"
    return function.name, entries, source, "argument", activation, why
