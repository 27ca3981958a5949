# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""Small hls4ml designs, and what their layers compute by the multipliers' product tables."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from axynq.emulator import multiplier

Integers = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Number:
    """A fixed-point type: ``ap_(u)fixed<width, width - fraction>``."""

    width: int
    signed: bool = True
    fraction: int = 0

    def __str__(self) -> str:
        return f"ap_{'' if self.signed else 'u'}fixed<{self.width},{self.width - self.fraction}>"

    def random(self, rng: np.random.Generator, shape: Sequence[int]) -> Integers:
        """Integers in units of the last bit, the outermost among them."""
        low = -(2 ** (self.width - 1)) if self.signed else 0
        values = rng.integers(low, low + 2**self.width, tuple(shape))
        edge = rng.random(values.shape)
        values[edge < 0.1] = low
        values[edge > 0.9] = low + 2**self.width - 1
        return values

    def real(self, values: Integers) -> npt.NDArray[np.float64]:
        return values * 2.0**-self.fraction


@dataclass(frozen=True)
class LayerCase:
    """A layer with inputs of its own."""

    kind: str
    """Dense, Conv1D, Conv2D, DepthwiseConv1D, DepthwiseConv2D, SeparableConv1D, SeparableConv2D."""
    filters: int
    channels: int
    size: tuple[int, int] = (1, 1)
    window: tuple[int, int] = (1, 1)
    stride: tuple[int, int] = (1, 1)
    padding: tuple[int, int, int, int] = (0, 0, 0, 0)
    """Above, below, left, right."""
    data: Number = Number(9)
    weight: Number = Number(8)
    strategy: str = "Latency"
    reuse: int = 1
    multipliers: Any = None
    """The configuration's entry; None: hls4ml's own products."""
    specs: Any = None
    """Of each weight: specifications, by broadcasting to [filters, rows, columns, channels]; an
    empty one skips. For a separable convolution a dictionary of both parts'."""
    seed: int = 0
    accum: str | None = None
    """Default: as wide as it takes."""
    settings: Mapping[str, Any] = field(default_factory=dict)

    @property
    def out_size(self) -> tuple[int, int]:
        top, bottom, left, right = self.padding
        rows = (self.size[0] + top + bottom - self.window[0]) // self.stride[0] + 1
        columns = (self.size[1] + left + right - self.window[1]) // self.stride[1] + 1
        return rows, columns

    @property
    def input_shape(self) -> tuple[int, ...]:
        if self.kind == "Dense":
            return (self.channels,)
        return (self.size[1], self.channels) if self.one else (*self.size, self.channels)

    @property
    def one(self) -> bool:
        return self.kind.endswith("1D")

    def weights(self) -> dict[str, Integers]:
        """Integers [rows, columns, channels, filters], [rows, columns, channels, 1] of depthwise
        layers, and biases [filters]."""
        rng = np.random.default_rng(self.seed)
        made: dict[str, Integers] = {"bias": rng.integers(-300, 300, self.filters)}
        if "Depthwise" in self.kind or "Separable" in self.kind:
            made["depthwise"] = self.weight.random(rng, (*self.window, self.channels, 1))
        if "Separable" in self.kind:
            made["pointwise"] = self.weight.random(rng, (1, 1, self.channels, self.filters))
        elif "Depthwise" not in self.kind:
            made["weight"] = self.weight.random(rng, (*self.window, self.channels, self.filters))
        return made

    def inputs(self, images: int) -> Integers:
        """Integers [images, rows, columns, channels]."""
        rng = np.random.default_rng(self.seed + 1)
        return self.data.random(rng, (images, *self.size, self.channels))

    def description(self, name: str) -> dict[str, Any]:
        """The layer for ``ModelGraph.from_layer_list``."""
        real = {
            key: self.weight.real(value) for key, value in self.weights().items() if key != "bias"
        }
        bias = self.weights()["bias"] * 2.0 ** -(self.data.fraction + self.weight.fraction)
        made: dict[str, Any] = {"name": name, "class_name": self.kind, "inputs": [f"{name}_in"],
                                "bias_data": bias, "use_bias": True}  # fmt: skip
        if self.kind == "Dense":
            made |= {"n_in": self.channels, "n_out": self.filters}
            return made | {"weight_data": real["weight"].reshape(self.channels, self.filters)}
        top, bottom, left, right = self.padding
        made |= {"data_format": "channels_last", "n_chan": self.channels, "n_filt": self.filters,
                 "in_width": self.size[1], "out_width": self.out_size[1], "depth_multiplier": 1,
                 "filt_width": self.window[1], "stride_width": self.stride[1], "dilation_width": 1,
                 "pad_left": left, "pad_right": right,
                 "padding": "same" if any(self.padding) else "valid"}  # fmt: skip
        if not self.one:
            made |= {"in_height": self.size[0], "out_height": self.out_size[0],
                     "filt_height": self.window[0], "stride_height": self.stride[0],
                     "dilation_height": 1, "pad_top": top, "pad_bottom": bottom}  # fmt: skip
        for key, value in real.items():
            made[f"{key}_data"] = value[0] if self.one else value
            made[f"{key}_quantizer"] = None
        return made | {"bias_quantizer": None, "weight_quantizer": None}

    def config(self, name: str) -> dict[str, Any]:
        fraction = self.data.fraction + self.weight.fraction
        wide = f"ap_fixed<40,{40 - fraction}>"
        weight = str(self.weight)
        accum = self.accum or wide
        precision = {"weight": weight, "bias": wide, "accum": accum, "result": wide}
        if "Separable" in self.kind:
            # What the depthwise part gives goes on with the bits of the input.
            precision |= {"depthwise": weight, "pointwise": weight, "depthwise_accum": accum,
                          "depthwise_result": str(self.data)}  # fmt: skip
        made: dict[str, Any] = {"Precision": precision, "Strategy": self.strategy,
                                "ReuseFactor": self.reuse, **self.settings}  # fmt: skip
        if self.multipliers is not None:
            made["Multipliers"] = self.multipliers
        return {name: made, f"{name}_in": {"Precision": {"result": str(self.data)}}}

    def expected(self, images: int) -> Integers:
        """The layer's sums, [images, rows, columns, filters], by loops over the window."""
        x, weights, bias = self.inputs(images), self.weights(), self.weights()["bias"]
        specs = self.specs if isinstance(self.specs, dict) else {"": self.specs}
        if "Separable" in self.kind:
            middle = self._convolved(x, weights["depthwise"], specs.get("depthwise"))
            # ap_fixed cuts off below the last bit, and wraps.
            middle = middle >> self.weight.fraction
            low = -(2 ** (self.data.width - 1)) if self.data.signed else 0
            middle = (middle - low) % 2**self.data.width + low
            point = LayerCase("Conv2D", self.filters, self.channels, self.out_size)
            return point._convolved(middle, weights["pointwise"], specs.get("pointwise")) + bias
        key = "depthwise" if "Depthwise" in self.kind else "weight"
        return self._convolved(x, weights[key], specs[""]) + bias

    def _convolved(self, x: Integers, weights: Integers, specs: Any) -> Integers:
        top, bottom, left, right = self.padding
        x = np.pad(x, ((0, 0), (top, bottom), (left, right), (0, 0)))
        rows, columns, channels, filters = weights.shape
        depthwise = filters == 1 and ("Depthwise" in self.kind or "Separable" in self.kind)
        outputs = channels if depthwise else filters
        one = channels if not depthwise else 1
        each = np.broadcast_to(
            np.array("exact" if specs is None else specs, object), (outputs, rows, columns, one)
        )
        total = np.zeros((len(x), *self.out_size, outputs), np.int64)
        for i, j, f in np.ndindex(rows, columns, outputs):
            last = [o * s for o, s in zip(self.out_size, self.stride)]
            taps = x[:, i : i + last[0] : self.stride[0], j : j + last[1] : self.stride[1]]
            for c in [f] if depthwise else range(channels):
                spec = each[f, i, j, 0 if depthwise else c]
                w = weights[i, j, c, 0 if depthwise else f]
                total[..., f] += product(spec, taps[..., c], int(w))
        return total


def product(spec: str, a: Integers, w: int) -> Integers:
    """Products by the multiplier's table; approximate ones are defined for -255 to 255. One with
    the table of exact products, such as ``roup:0,0-0-0-0``, is an exact one."""
    if spec == "" or multiplier(spec) == multiplier("exact"):
        return a * (0 if spec == "" else w)
    return multiplier(spec).table[np.maximum(a, -255) + 255, w + 128].astype(np.int64)


def build(
    cases: Mapping[str, LayerCase], folder: Path, io: str = "io_parallel", backend: str = "Vitis"
) -> Any:
    """One design of all cases, side by side, with an input and an output each."""
    from hls4ml.model.graph import ModelGraph
    from hls4ml.utils.config import create_config

    config = create_config(output_dir=str(folder), backend=backend, io_type=io)
    names: dict[str, Any] = {}
    layers: list[dict[str, Any]] = []
    for name, case in cases.items():
        names |= case.config(name)
        layers.append({"name": f"{name}_in", "class_name": "Input",
                       "input_shape": list(case.input_shape)})  # fmt: skip
        layers.append(case.description(name))
    config["HLSConfig"] = {"Model": {"Precision": "ap_fixed<40,30>", "ReuseFactor": 1,
                                     "Strategy": "Latency"}, "LayerName": names}  # fmt: skip
    return ModelGraph.from_layer_list(
        config, layers, inputs=[f"{name}_in" for name in cases], outputs=list(cases)
    )


def sums(cases: Mapping[str, LayerCase], model: Any, images: int) -> dict[str, Integers]:
    """What a compiled design gives for the cases' inputs, as integers like :meth:`expected`."""
    x = [
        case.data.real(case.inputs(images)).reshape(images, *case.input_shape).astype(np.float32)
        for case in cases.values()
    ]
    given = model.predict(x if len(x) > 1 else x[0])
    made = {}
    for (name, case), y in zip(cases.items(), given if len(x) > 1 else [given]):
        scaled = np.asarray(y, np.float64) * 2.0 ** (case.data.fraction + case.weight.fraction)
        made[name] = scaled.reshape(images, *case.out_size, -1).astype(np.int64)
        assert math.prod(made[name].shape) == scaled.size
    return made


SPECS = ("exact", "roup:1,4", "roup:2,6", "roup:0,1-3-5-2", "smapprox:3330", "smapprox:1123", "")
KINDS = ("Dense", "Conv1D", "Conv2D", "DepthwiseConv1D", "DepthwiseConv2D", "SeparableConv1D",
         "SeparableConv2D")  # fmt: skip


def random_case(rng: np.random.Generator, streams: bool) -> LayerCase:
    """Any layer that can have multipliers, with operands of any number of bits."""
    kind = str(rng.choice(KINDS))
    flat, one = kind == "Dense", kind.endswith("1D")
    channels = int(rng.integers(1, 5))
    filters = channels if kind.startswith("Depthwise") else int(rng.integers(1, 6))
    window = (1, 1) if flat else (1 if one else int(rng.integers(1, 4)), int(rng.integers(1, 4)))
    stride = tuple(int(rng.integers(1, w + 1)) for w in window)
    padding = (0, 0, 0, 0)
    if not flat and rng.random() < 0.5:
        pads = [int(rng.integers(0, w)) for w in window for _ in range(2)]
        padding = (0 if one else pads[0], 0 if one else pads[1], pads[2], pads[3])
    size = (1, 1) if flat else (1 if one else int(rng.integers(3, 7)), int(rng.integers(3, 7)))
    if streams and not flat:
        size = tuple(max(n, w + 1) if w > 1 or not one else n for n, w in zip(size, window))
        size = (1, size[1]) if one else size
    signed = bool(rng.random() < 0.6)
    data = Number(int(rng.integers(2, 10 if signed else 9)), signed, int(rng.integers(-1, 9)))
    signed = bool(rng.random() < 0.8)
    weight = Number(int(rng.integers(2, 9 if signed else 8)), signed, int(rng.integers(0, 9)))
    shape = (channels, *window, 1) if kind.startswith("Depthwise") else (filters, *window, channels)
    given, specs = _random_multipliers(rng, kind, channels, shape)
    return LayerCase(
        kind, filters, channels, size, window, stride, padding, data, weight,
        strategy=str(rng.choice(["Latency", "Resource"])), reuse=int(rng.integers(1, 20)),
        multipliers=given, specs=specs, seed=int(rng.integers(2**31)),
    )  # fmt: skip


def _random_multipliers(
    rng: np.random.Generator, kind: str, channels: int, shape: tuple[int, ...]
) -> tuple[Any, Any]:
    """A configuration's entry, and the specification of each weight."""
    some = [spec for spec in SPECS if spec]
    if kind.startswith("Separable"):
        depth, point = str(rng.choice(some)), [str(rng.choice(some)) for _ in range(shape[0])]
        specs = {"depthwise": depth, "pointwise": np.array(point, object)[:, None, None, None]}
        return {"depthwise": depth, "pointwise": point}, specs
    how = rng.integers(4)
    if how == 0:
        spec = str(rng.choice(some))
        return spec, spec
    if how == 1:
        each = [str(rng.choice(some)) for _ in range(shape[0])]
        return each, np.array(each, object)[:, None, None, None]
    if how == 2:
        rows = [str(rng.choice(some)) for _ in range(shape[1])]
        entry = {"multipliers": some, "axis": "row", "classes": [some.index(r) for r in rows]}
        return entry, np.array(rows, object)[None, :, None, None]
    classes = rng.integers(-1, len(some), math.prod(shape))
    names = np.array([*some, ""], object)[classes].reshape(shape)
    return {"multipliers": some, "axis": "weight", "classes": classes.tolist()}, names
