"""What to do about operators of ONNX that are not supported."""

from __future__ import annotations

from collections.abc import Iterable

_RECURRENT = "recurrent networks are not supported: every result here depends on one input alone"
_BRANCHES = "networks with branches, loops or sequences are not supported"
_STATISTICS = "its statistics depend on each input: train with batch normalisation"
_ATTENTION = (
    "products of two computed tensors are not supported: only layers with constant weights "
    "multiply matrices"
)
_AFTER = "end the network before it, and do it in Python"
_HINTS: dict[str, str] = {
    **dict.fromkeys(("LSTM", "GRU", "RNN"), _RECURRENT),
    **dict.fromkeys(("If", "Loop", "Scan", "SequenceAt", "SplitToSequence"), _BRANCHES),
    **dict.fromkeys(
        (
            "LayerNormalization", "InstanceNormalization", "GroupNormalization", "MeanVariance"
            "Normalization", "SimplifiedLayerNormalization", "SkipLayerNormalization",
        ),
        _STATISTICS,
    ),
    **dict.fromkeys(("Attention", "MultiHeadAttention", "Einsum"), _ATTENTION),
    **dict.fromkeys(
        ("ArgMax", "ArgMin", "NonMaxSuppression", "TopK", "NonZero", "OneHot", "RoiAlign"), _AFTER
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
