# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""What to do about operators of ONNX that are not supported."""

from __future__ import annotations

from collections.abc import Iterable

from axynq.emulator.file_formats.problems import (
    BRANCHES,
    CHOICE,
    COMPUTED_PRODUCT,
    RECURRENT,
    STATISTICS,
)

_HINTS: dict[str, str] = {
    **dict.fromkeys(("LSTM", "GRU", "RNN"), RECURRENT),
    **dict.fromkeys(("If", "Loop", "Scan", "SequenceAt", "SplitToSequence"), BRANCHES),
    **dict.fromkeys(
        (
            "LayerNormalization", "InstanceNormalization", "GroupNormalization", "MeanVariance"
            "Normalization", "SimplifiedLayerNormalization", "SkipLayerNormalization",
        ),
        STATISTICS,
    ),
    **dict.fromkeys(("Attention", "MultiHeadAttention", "Einsum"), COMPUTED_PRODUCT),
    **dict.fromkeys(
        ("ArgMax", "ArgMin", "NonMaxSuppression", "TopK", "NonZero", "OneHot", "RoiAlign"), CHOICE
    ),
    "BatchNormalization": "fold it into the convolution before: onnxruntime.quantization."
    "shape_inference.quant_pre_process does, before quantising",
    "Log": "no int8 network has it",
}  # fmt: skip


def hints(kinds: Iterable[str]) -> list[str]:
    """What to say of operators that are not supported, each once."""
    found = [_HINTS[kind] for kind in kinds if kind in _HINTS]
    foreign = sorted({kind for kind in kinds if "." in kind})
    if foreign:
        found.append(f"what {', '.join(foreign)} do is known to the program that wrote them alone")
    return list(dict.fromkeys(found))
