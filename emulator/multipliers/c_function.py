# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""Tabulates the C functions in which libraries such as EvoApproxLib ship their multipliers."""

from __future__ import annotations

import ctypes
import re
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import numpy.typing as npt

from axynq.emulator import files
from axynq.emulator.errors import MultiplierError
from axynq.emulator.multipliers.specification import Argument

_PARAMETER = r"(?:const\s+)?((u?)int(8|16|32|64)_t)\s+(?:const\s+)?(\w+)"
_PROTOTYPE = re.compile(
    rf"\bu?int(?:8|16|32|64)_t\s+(\w+)\s*\(\s*{_PARAMETER}\s*,\s*{_PARAMETER}\s*\)"
)


@dataclass(frozen=True)
class CFunction:
    """A function of two integers, with all its values."""

    name: str
    parameters: tuple[str, str]
    """Their names."""
    declared_signed: bool | None
    """True for signed parameters. Unsigned ones of eight bits say nothing, since bytes of signed
    operands are passed in them too; wider ones are unsigned."""
    of_magnitudes: npt.NDArray[np.int64]
    """[first, second] for arguments 0 to 255."""
    of_bytes: npt.NDArray[np.int64]
    """[first, second] for arguments -128 to 127, indexed by their bytes."""
    types: tuple[str, str]
    """Of its parameters, such as ``uint8_t``."""
    text: str
    """The file that it is in."""

    @property
    def activation(self) -> Argument | None:
        """The argument called A, where the other is B."""
        orders: dict[tuple[str, str], Argument] = {("a", "b"): "first", ("b", "a"): "second"}
        first, second = self.parameters
        return orders.get((first.lower(), second.lower()))


def tabulate(path: Path, name: str) -> CFunction:
    """All values of ``uintN_t name(uintN_t a, uintN_t b)``, or of ``intN_t``.

    Args:
        path: a C file.
        name: the function; may be empty where the file has only one of that form.

    Raises:
        MultiplierError: there is no such function, no compiler, or the file does not compile.
    """
    try:
        content = files.read_bytes(path)
    except OSError as error:
        raise MultiplierError(f"'{path}' cannot be read: {error.strerror}") from error
    text = re.sub(r"/\*.*?\*/|//[^\n]*", " ", content.decode(errors="replace"), flags=re.DOTALL)
    functions = {match[1]: match for match in _PROTOTYPE.finditer(text)}
    if not name and len(functions) == 1:
        name = next(iter(functions))
    if name not in functions:
        raise MultiplierError(
            f"'{path}' has no function 'uintN_t {name or 'name'}(uintN_t a, uintN_t b)'; "
            f"it has: {', '.join(functions) or 'none of that form'}"
        )
    _, first_type, first_sign, bits, first, second_type, second_sign, _, second = functions[
        name
    ].group(0, 2, 3, 4, 5, 6, 7, 8, 9)
    if first_sign != second_sign:
        raise MultiplierError(
            f"'{path}': {name} takes one signed and one unsigned operand; both must be alike"
        )
    unknown = first_sign == "u" and bits == "8"
    zero_extended, sign_extended = (
        f"{name}(({first_type})({byte})i, ({second_type})({byte})j)"
        for byte in ("uint8_t", "int8_t")
    )
    wrapper = f"""#include <stdint.h>
#include "function.c"
void axynq_tabulate(int64_t *of_magnitudes, int64_t *of_bytes) {{
  for (int i = 0; i < 256; i++) for (int j = 0; j < 256; j++) {{
    of_magnitudes[i * 256 + j] = (int64_t){zero_extended};
    of_bytes[i * 256 + j] = (int64_t){sign_extended};
  }}
}}
"""
    try:
        # What other files a function needs may change; all else follows from the content.
        run = _run.__wrapped__ if re.search(r'#\s*include\s*"', text) else _run
        of_magnitudes, of_bytes = run(content, path.resolve().parent, wrapper)
    except _CompileError as error:
        raise MultiplierError(f"'{path}' {error}") from error
    return CFunction(
        name,
        (first, second),
        None if unknown else first_sign == "",
        of_magnitudes,
        of_bytes,
        (first_type, second_type),
        content.decode(errors="replace"),
    )


class _CompileError(Exception):
    """Why a function cannot be tabulated."""


@lru_cache(maxsize=64)
def _run(
    content: bytes, folder: Path, wrapper: str
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if compiler is None:
        raise _CompileError("needs a C compiler to be tabulated; or give it as .npz")
    tables = np.zeros((256, 256), np.int64), np.zeros((256, 256), np.int64)
    with tempfile.TemporaryDirectory() as work:
        # A copy: no #include can name a path with quotes in it. Other files are found beside the
        # original still.
        Path(work, "function.c").write_bytes(content)
        source, library = Path(work, "tabulate.c"), Path(work, "tabulate.so")
        source.write_text(wrapper, encoding="utf-8")
        beside = ["-iquote", str(folder)]
        result = subprocess.run(
            # Everywhere as where such files are written: char has no sign on ARM.
            [
                *(compiler, "-O1", "-fsigned-char", "-shared", "-fPIC"),
                *(*beside, "-o", str(library), str(source)),
            ],
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
        )
        if result.returncode:
            first_error = next((e for e in result.stderr.splitlines() if "error" in e), "no reason")
            reason = first_error.replace(f"{work}/", "")
            raise _CompileError(f"does not compile: {reason}")
        function = ctypes.CDLL(str(library)).axynq_tabulate
        function(*(table.ctypes.data_as(ctypes.c_void_p) for table in tables))
    for table in tables:
        table.setflags(write=False)  # they are kept
    return tables
