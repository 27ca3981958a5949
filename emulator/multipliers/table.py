"""Any 8x8 multiplier given as data: a 256x256 table, or the C function EvoApproxLib ships."""

from __future__ import annotations

import ctypes
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

import numpy as np
import numpy.typing as npt

from axynq.emulator.errors import MultiplierError
from axynq.emulator.multipliers.base import IntArray, Multiplier


class Table(Multiplier):
    """A multiplier defined by a 256x256 table ``[a][w]``.

    An *unsigned* table holds products of magnitudes; the sign is the exclusive or of the operands'
    sign bits. A *signed* table holds products of two's complement bytes; its activation operand
    must fit int8, so it can only be used for layers whose input zero point is 0.
    """

    SYNTAX = "table:FILE#NAME (.npz, .npy or .c; 256x256)"

    signed: bool
    """Whether the table is indexed by two's complement bytes instead of magnitudes."""
    source: str
    """Where the table came from, including the argument order of a C function."""

    def __init__(self, spec: str, values: npt.NDArray[np.int64], signed: bool, source: str) -> None:
        self.spec = spec
        self.signed = signed
        self.source = source
        self.values = values
        if signed:
            self.activation_range = (-128, 127)

    @classmethod
    def parse(cls, arguments: str) -> Table:
        """Load ``FILE#NAME``; the name may be left out where the file holds a single table."""
        file, _, name = arguments.partition("#")
        path = Path(file).expanduser()
        if not path.is_file():
            raise MultiplierError(f"multiplier table file '{file}' does not exist")
        if path.suffix == ".c":
            values, signed, source = _load_c_function(path, name)
        elif path.suffix in (".npz", ".npy"):
            values, signed, source = _load_array(path, name)
        else:
            raise MultiplierError(f"'{file}': a multiplier table is a .npz, .npy or .c file")
        return cls(f"table:{arguments}", values, signed, source)

    def compute(self, a: IntArray, w: IntArray) -> IntArray:
        if self.signed:
            return self.values[a & 255, w & 255]
        magnitude = self.values[np.abs(a), np.abs(w)]
        return np.where((a < 0) ^ (w < 0), -magnitude, magnitude)


def _load_array(path: Path, name: str) -> tuple[npt.NDArray[np.int64], bool, str]:
    try:
        loaded = np.load(path, allow_pickle=False)
    except (OSError, ValueError) as error:
        raise MultiplierError(f"'{path}' cannot be read as a numpy file: {error}") from error
    if isinstance(loaded, np.ndarray):
        values = loaded
    else:
        with loaded:
            if not name and len(loaded.files) == 1:
                name = loaded.files[0]
            if name not in loaded.files:
                raise MultiplierError(
                    f"'{path}' has no table '{name}'; it has: {', '.join(loaded.files)}"
                )
            values = loaded[name]
    if values.shape != (256, 256) or values.dtype.kind not in "iu":
        raise MultiplierError(
            f"'{path}#{name}' must hold 256x256 integers, not {values.dtype} of {values.shape}"
        )
    signed = bool((values < 0).any())
    return values.astype(np.int64), signed, f"{path.name}, {'signed' if signed else 'unsigned'}"


_PROTOTYPE = re.compile(
    r"\b(u?)int(?:8|16|32|64)_t\s+(\w+)\s*\(\s*(?:const\s+)?(u?)int(8|16|32|64)_t\s+(\w+)\s*,"
    r"\s*(?:const\s+)?u?int(?:8|16|32|64)_t\s+(\w+)\s*\)"
)


def _load_c_function(path: Path, name: str) -> tuple[npt.NDArray[np.int64], bool, str]:
    """Tabulate a C function ``uintN_t name(uintN_t a, uintN_t b)``.

    EvoApproxLib orders the arguments differently from file to file, so the parameter names decide:
    the one called A (or a) is the activation. Unnamed conventions mean (activation, weight).
    """
    text = path.read_text(errors="replace")
    text = re.sub(r"/\*.*?\*/|//[^\n]*", "", text, flags=re.DOTALL)
    functions = {match[2]: match for match in _PROTOTYPE.finditer(text)}
    if not name and len(functions) == 1:
        name = next(iter(functions))
    if name not in functions:
        raise MultiplierError(
            f"'{path}' has no function 'uintN_t {name or 'name'}(uintN_t a, uintN_t b)'; "
            f"it has: {', '.join(functions) or 'none of that form'}"
        )
    match = functions[name]
    signed = match[3] == ""
    first, second = match[5].lower(), match[6].lower()
    swapped = (first, second) == ("b", "a")
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if compiler is None:
        raise MultiplierError(f"'{path}' needs a C compiler to be tabulated; or give it as .npz")
    kind = "int8_t" if signed else "uint8_t"
    call = f"{name}(({kind})w, ({kind})a)" if swapped else f"{name}(({kind})a, ({kind})w)"
    wrapper = (
        f"#include <stdint.h>\n#include {str(path.resolve())!r}\n".replace("'", '"')
        + "void axynq_tabulate(int64_t *table) {\n"
        + "  for (int a = 0; a < 256; a++) for (int w = 0; w < 256; w++)\n"
        + f"    table[a * 256 + w] = (int64_t){call};\n}}\n"
    )
    values = np.zeros((256, 256), np.int64)
    with tempfile.TemporaryDirectory() as folder:
        source, library = Path(folder, "tabulate.c"), Path(folder, "tabulate.so")
        source.write_text(wrapper)
        result = subprocess.run(
            # Everywhere as where such files are written: char has no sign on ARM.
            [compiler, "-O1", "-fsigned-char", "-shared", "-fPIC", "-o", str(library), str(source)],
            capture_output=True,
            text=True,
        )
        if result.returncode:
            first_error = next((e for e in result.stderr.splitlines() if "error" in e), "no reason")
            raise MultiplierError(f"'{path}' does not compile: {first_error}")
        function = ctypes.CDLL(str(library)).axynq_tabulate
        function(values.ctypes.data_as(ctypes.c_void_p))
    order = f"{name}({match[5]}, {match[6]})"
    return values, signed, f"{path.name}, {order}, activation is {'second' if swapped else 'first'}"
