# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""``.tflite`` files put together operator by operator, as other programs write them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import tflite

from axynq.emulator.file_formats.tflite_assembly import (
    FileOperator,
    FileTensor,
    assemble,
    constant_tensor,
)

Shape = tuple[int, ...]
Quantisation = tuple[float, int]

INT8, UINT8 = tflite.TensorType.INT8, tflite.TensorType.UINT8
INT32, FLOAT32 = tflite.TensorType.INT32, tflite.TensorType.FLOAT32
PLAIN: Quantisation = (float(np.float32(0.05)), 3)


class Drawing:
    """Grows by the methods; tensors are numbers."""

    def __init__(self) -> None:
        self.tensors: list[FileTensor] = []
        self.operators: list[FileOperator] = []
        self.inputs: list[int] = []

    def tensor(
        self, shape: Shape, quantisation: Quantisation | None = PLAIN, kind: int = INT8
    ) -> int:
        """One that is computed."""
        scales, zero_points = ([], []) if quantisation is None else zip(quantisation)
        name = f"t{len(self.tensors)}"
        self.tensors.append(FileTensor(name, shape, kind, b"", list(scales), list(zero_points)))
        return len(self.tensors) - 1

    def given(
        self, shape: Shape, quantisation: Quantisation | None = PLAIN, kind: int = INT8
    ) -> int:
        """One that a user gives."""
        self.inputs.append(self.tensor(shape, quantisation, kind))
        return self.inputs[-1]

    def constant(
        self,
        values: npt.ArrayLike,
        scales: Sequence[float] = (),
        zero_points: Sequence[int] | None = None,
        dtype: Any = np.int32,
    ) -> int:
        """One with values."""
        name = f"c{len(self.tensors)}"
        array = np.asarray(values, dtype)
        self.tensors.append(constant_tensor(name, array, scales, zero_points))
        return len(self.tensors) - 1

    def operator(
        self, code: str, inputs: Sequence[int], *outputs: int, kind: str | None = None,
        **options: Any,
    ) -> int:  # fmt: skip
        """An operator; its first output."""
        number = getattr(tflite.BuiltinOperator, code)
        self.operators.append(FileOperator(number, list(inputs), list(outputs), kind, options))
        return outputs[0]

    def content(self, *outputs: int, custom: str = "") -> bytes:
        """The file; ``custom`` is the name of its custom operators."""
        return assemble(self.tensors, self.operators, self.inputs, outputs, custom)
