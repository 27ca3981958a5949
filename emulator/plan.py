"""Plans: which multiplier each weight of a network uses.

A plan gives every weighted layer an *assignment*: multipliers, and a class for each filter, input
channel, kernel row, kernel column or single weight (MAx-DNN paper, section III). Expanded for a
model, it is a code per weight.
"""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from axynq.emulator.errors import MultiplierError, PlanError
from axynq.emulator.model.graph import (
    INT8_MAX,
    INT8_MIN,
    DepthwiseConvolution,
    Model,
    WeightedLayer,
)
from axynq.emulator.multipliers import Multiplier, multiplier

Axis = Literal["layer", "filter", "channel", "row", "column", "weight"]

SKIP = 0
"""The code of a weight whose multiplication is left out."""

MAX_MULTIPLIERS = 254
"""A code is a byte: 0 skips, 255 is left free."""

_SHORTHANDS: dict[str, Axis] = {
    "llam": "layer",
    "flam": "filter",
    "klam-channel": "channel",
    "klam-row": "row",
    "klam-column": "column",
}


@dataclass(frozen=True)
class Assignment:
    """The multipliers of one layer, not yet expanded to its weights."""

    multipliers: tuple[str, ...]
    """Multiplier specifications."""
    axis: Axis = "layer"
    """Along what the classes run."""
    classes: tuple[int, ...] | None = None
    """For each element of the axis the index of its multiplier, or -1 to skip it. None: as many
    contiguous classes as there are multipliers, the sizes as equal as possible, larger ones first.
    With the axis ``weight`` one entry per weight: filters, rows, columns, channels."""
    skip_sigma: float | None = None
    """Skip weights further than this many standard deviations from the layer's mean weight (both
    of the int8 values)."""

    @classmethod
    def parse(cls, text: str) -> Assignment:
        """An assignment from a shorthand such as ``flam=exact|roup:1,4+klms=2``.

        ``llam=M`` · ``flam=M1|M2|…`` · ``klam-channel=…`` · ``klam-row=…`` · ``klam-column=…`` ·
        ``klms=K``, the last also combined with one of the others by ``+``. A multiplier alone
        stands for ``llam=`` of it.

        Raises:
            PlanError: the text has another form, or names a multiplier that does not exist.
        """
        assignment: Assignment | None = None
        skip_sigma: float | None = None
        for part in text.strip().split("+"):
            name, separator, value = part.strip().partition("=")
            if name == "klms" and separator:
                if skip_sigma is not None:
                    raise PlanError(f"plan '{text}' gives klms twice")
                skip_sigma = _parse_sigma(value)
                continue
            if not separator:
                name, value = "llam", part.strip()
            if name not in _SHORTHANDS:
                known = ", ".join([*_SHORTHANDS, "klms"])
                raise PlanError(f"plan '{text}': '{name}' is not one of {known}")
            if assignment is not None:
                raise PlanError(f"plan '{text}': only klms can be combined with another shorthand")
            specs = tuple(spec.strip() for spec in value.split("|"))
            if name == "llam" and len(specs) != 1:
                raise PlanError(f"plan '{text}': llam takes one multiplier")
            assignment = cls(specs, _SHORTHANDS[name])
        if assignment is None:
            assignment = cls(("exact",))
        for spec in assignment.multipliers:
            _multiplier(spec)
        return replace(assignment, skip_sigma=skip_sigma)

    def shorthand(self) -> str | None:
        """The text :meth:`parse` understands, or None where the classes are not contiguous."""
        if self.classes is not None:
            return None
        name = next(name for name, axis in _SHORTHANDS.items() if axis == self.axis)
        text = f"{name}={'|'.join(self.multipliers)}"
        return text if self.skip_sigma is None else f"{text}+klms={self.skip_sigma:g}"

    def expand(self, model: Model, layer: WeightedLayer) -> LayerCodes:
        """The code of each weight of ``layer``.

        Raises:
            PlanError: the classes do not fit the layer's shape, a multiplier does not exist, or its
                table does not cover the layer's activations.
        """
        classes = self._class_of_each_weight(model, layer)
        codes = (classes + 1).astype(np.uint8)
        if self.skip_sigma is not None:
            kernel = layer.kernel.astype(np.float64)
            distance = np.abs(kernel - kernel.mean())
            codes[distance > self.skip_sigma * kernel.std()] = SKIP
        multipliers = tuple(_multiplier(spec) for spec in self.multipliers)
        expanded = LayerCodes(multipliers, codes).simplified()
        zero_point = model.tensors[layer.inputs[0]].zero_point
        low, high = INT8_MIN - zero_point, INT8_MAX - zero_point
        for m in expanded.multipliers:
            if low < m.activation_range[0] or high > m.activation_range[1]:
                raise PlanError(
                    f"layer '{layer.name}': activations span {low}..{high}, but the signed table "
                    f"'{m.spec}' covers {m.activation_range[0]}..{m.activation_range[1]} only"
                )
        return expanded

    def _class_of_each_weight(
        self, model: Model, layer: WeightedLayer
    ) -> npt.NDArray[np.integer[Any]]:
        shape = layer.kernel.shape
        filters, rows, columns, channels = shape
        if self.axis == "weight":
            return self._given(layer, int(np.prod(shape))).reshape(shape)
        if self.axis == "channel" and isinstance(layer, DepthwiseConvolution):
            # A depthwise filter sees one input channel: the class is that channel's.
            inputs = model.tensors[layer.inputs[0]].shape[-1]
            per_channel = self._along(layer, inputs)
            per_filter = np.repeat(per_channel, filters // inputs)
            return np.broadcast_to(per_filter[:, None, None, None], shape)
        size, index = {
            "layer": (1, 0),
            "filter": (filters, 0),
            "row": (rows, 1),
            "column": (columns, 2),
            "channel": (channels, 3),
        }[self.axis]
        spread = [1, 1, 1, 1]
        spread[index] = size
        return np.broadcast_to(self._along(layer, size).reshape(spread), shape)

    def _along(self, layer: WeightedLayer, size: int) -> npt.NDArray[np.integer[Any]]:
        """Class of each of ``size`` elements."""
        if self.classes is not None:
            return self._given(layer, size)
        parts = np.array_split(np.zeros(size, np.int64), len(self.multipliers))
        return np.concatenate([part + k for k, part in enumerate(parts)])

    def _given(self, layer: WeightedLayer, size: int) -> npt.NDArray[np.integer[Any]]:
        classes = np.array(self.classes, np.int64)
        if len(classes) != size:
            raise PlanError(
                f"layer '{layer.name}' has {size} {self.axis}s, but the plan gives {len(classes)}"
            )
        if classes.min() < -1 or classes.max() >= len(self.multipliers):
            raise PlanError(
                f"layer '{layer.name}': classes run from 0 to {len(self.multipliers) - 1} "
                "(-1 skips), one for each multiplier"
            )
        return classes


@dataclass(frozen=True, eq=False)
class LayerCodes:
    """An assignment expanded for one layer."""

    multipliers: tuple[Multiplier, ...]
    codes: npt.NDArray[np.uint8]
    """[filters, rows, columns, channels]: 0 skips the weight, k is ``multipliers[k - 1]``."""

    def simplified(self) -> LayerCodes:
        """The same with equal multipliers merged and unused ones left out."""
        kept: list[Multiplier] = []
        translation = np.zeros(len(self.multipliers) + 1, np.uint8)
        used = set(np.flatnonzero(np.bincount(self.codes.reshape(-1))).tolist())
        for k, m in enumerate(self.multipliers, start=1):
            if k in used:
                if m not in kept:
                    kept.append(m)
                translation[k] = kept.index(m) + 1
        return LayerCodes(tuple(kept), translation[self.codes])

    def counts(self) -> dict[str, int]:
        """Number of weights by multiplier specification; skipped ones under ``skip``."""
        numbers = np.bincount(self.codes.reshape(-1), minlength=len(self.multipliers) + 1)
        counts = {m.spec: int(n) for m, n in zip(self.multipliers, numbers[1:])}
        return counts if numbers[SKIP] == 0 else {**counts, "skip": int(numbers[SKIP])}


class Plan:
    """An assignment for each weighted layer of a model.

    ``layers`` maps layer names to assignments; ``default`` serves the layers it does not name.
    """

    def __init__(
        self, layers: Mapping[str, Assignment] | None = None, default: Assignment | None = None
    ) -> None:
        self.layers = dict(layers or {})
        self.default = default

    @classmethod
    def uniform(cls, spec: str = "exact") -> Plan:
        """One multiplier everywhere."""
        return cls(default=Assignment((spec,)))

    @classmethod
    def parse(cls, model: Model, text: str) -> Plan:
        """A plan for every layer of ``model`` from one shorthand; see :meth:`Assignment.parse`.

        Raises:
            PlanError: the text is malformed, or its assignment does not fit some layer.
        """
        assignment = Assignment.parse(text)
        plan = cls({layer.name: assignment for layer in model.layers})
        plan.expand(model)
        return plan

    @classmethod
    def from_codes(
        cls, codes: Mapping[str, tuple[Sequence[str], npt.NDArray[np.integer[Any]]]]
    ) -> Plan:
        """A plan from explicit codes per layer: multiplier specifications, and an array
        [filters, rows, columns, channels] with 0 to skip and k for the k-th multiplier."""
        layers = {}
        for name, (specs, array) in codes.items():
            classes = tuple(int(c) - 1 for c in np.asarray(array).reshape(-1))
            layers[name] = Assignment(tuple(specs), "weight", classes)
        return cls(layers)

    @classmethod
    def load(cls, path: str | Path) -> Plan:
        """Read a plan file.

        Raises:
            PlanError: the file cannot be read or is not a valid plan; the message names the place.
        """
        try:
            text = Path(path).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise PlanError(f"plan '{path}' cannot be read: {error}") from error
        try:
            file = _PlanFile.model_validate_json(text)
        except ValidationError as error:
            # An entry is a text or a table: the deeper of the two complaints is the helpful one.
            told = max(error.errors(), key=lambda entry: len(entry["loc"]))
            alternatives = ("str", _ExplicitAssignment.__name__)
            where = ".".join(str(part) for part in told["loc"] if part not in alternatives)
            raise PlanError(
                f"plan '{path}' is not valid: {where or 'the file'}: {told['msg']}"
            ) from error
        try:
            default = None if file.default is None else file.default_assignment()
            layers = {name: _from_file(entry) for name, entry in file.layers.items()}
        except PlanError as error:
            raise PlanError(f"plan '{path}': {error}") from error
        return cls(layers, default)

    def save(self, path: str | Path) -> None:
        """Write a plan file (JSON). :meth:`load` gives an equal plan."""
        default = None if self.default is None else _to_file(self.default)
        layers = {name: _to_file(assignment) for name, assignment in self.layers.items()}
        file = _PlanFile(format="axynq-plan", version=1, default=default, layers=layers)
        text = json.dumps(file.model_dump(exclude_none=True), indent=2)
        try:
            Path(path).write_text(text + "\n", encoding="utf-8")
        except OSError as error:
            raise PlanError(f"plan '{path}' cannot be written: {error.strerror}") from error

    def expand(self, model: Model) -> dict[str, LayerCodes]:
        """The code of each weight, by layer name.

        Raises:
            PlanError: the plan names a layer the model lacks, leaves one out, or does not fit one.
        """
        names = [layer.name for layer in model.layers]
        unknown = [name for name in self.layers if name not in names]
        if unknown:
            raise PlanError(
                f"the plan names layer '{unknown[0]}', which model '{model.name}' does not have; "
                f"its layers are: {', '.join(names)}"
            )
        expanded = {}
        for layer in model.layers:
            assignment = self.layers.get(layer.name, self.default)
            if assignment is None:
                raise PlanError(
                    f"the plan says nothing of layer '{layer.name}', and has no default"
                )
            expanded[layer.name] = assignment.expand(model, layer)
        return expanded

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Plan):
            return NotImplemented
        return self.layers == other.layers and self.default == other.default

    def __repr__(self) -> str:
        return f"Plan({self.layers!r}, default={self.default!r})"


def _multiplier(spec: str) -> Multiplier:
    try:
        return multiplier(spec)
    except MultiplierError as error:
        raise PlanError(str(error)) from error


def _parse_sigma(value: str) -> float:
    try:
        sigma = float(value)
    except ValueError:
        sigma = 0.0
    if not sigma > 0:
        raise PlanError(f"klms takes a positive number of standard deviations, not '{value}'")
    return sigma


# --- the file format -----------------------------------------------------------------------------


class _ExplicitAssignment(BaseModel):
    """An assignment whose classes are listed."""

    model_config = ConfigDict(extra="forbid")

    multipliers: Annotated[list[str], Field(min_length=1, max_length=MAX_MULTIPLIERS)]
    axis: Axis
    classes: list[int] | None = None
    packed: str | None = None
    """Classes of single weights: base64 of zlib of int16, little-endian."""
    klms: Annotated[float, Field(gt=0)] | None = None


class _PlanFile(BaseModel):
    model_config = ConfigDict(extra="forbid")

    format: Literal["axynq-plan"]
    version: Literal[1]
    default: str | _ExplicitAssignment | None = None
    layers: dict[str, str | _ExplicitAssignment]

    def default_assignment(self) -> Assignment:
        assert self.default is not None
        return _from_file(self.default)


def _to_file(assignment: Assignment) -> str | _ExplicitAssignment:
    text = assignment.shorthand()
    if text is not None:
        return text
    assert assignment.classes is not None
    file = _ExplicitAssignment(
        multipliers=list(assignment.multipliers), axis=assignment.axis, klms=assignment.skip_sigma
    )
    if assignment.axis == "weight":
        content = np.array(assignment.classes, "<i2").tobytes()
        file.packed = base64.b64encode(zlib.compress(content, 9)).decode("ascii")
    else:
        file.classes = list(assignment.classes)
    return file


def _from_file(entry: str | _ExplicitAssignment) -> Assignment:
    if isinstance(entry, str):
        return Assignment.parse(entry)
    for spec in entry.multipliers:
        _multiplier(spec)
    if (entry.classes is None) == (entry.packed is None):
        raise PlanError("an explicit assignment has either 'classes' or 'packed'")
    classes = entry.classes
    if entry.packed is not None:
        try:
            content = zlib.decompress(base64.b64decode(entry.packed, validate=True))
            classes = np.frombuffer(content, "<i2").tolist()
        except (ValueError, zlib.error) as error:
            raise PlanError(f"packed classes are damaged: {error}") from error
    assert classes is not None
    return Assignment(tuple(entry.multipliers), entry.axis, tuple(classes), entry.klms)
