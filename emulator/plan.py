# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""Plans: which multiplier each weight of a network is multiplied by.

A plan gives every weighted layer an *assignment*: multipliers, and a class for each filter, input
channel, kernel row, kernel column or single weight (MAx-DNN paper, section III). Expanded for a
model, it is one code per weight.
"""

from __future__ import annotations

import base64
import json
import math
import re
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from axynq.emulator import files
from axynq.emulator.errors import MultiplierError, PlanError
from axynq.emulator.model.graph import (
    INT8_MAX,
    INT8_MIN,
    DepthwiseConvolution,
    Model,
    WeightedLayer,
)
from axynq.emulator.multipliers import (
    WEIGHT_MAX,
    WEIGHT_MIN,
    Multiplier,
    multiplier,
    split_multipliers,
)
from axynq.emulator.multipliers.specification import seen_from, without_quoted, written_in
from axynq.emulator.validation import complaint

Axis = Literal["layer", "filter", "channel", "row", "column", "weight"]

CLASS_AXES: tuple[Axis, ...] = ("layer", "filter", "channel", "row", "column")
"""Axes along which groups of weights share a multiplier."""

SKIP = 0
"""The code of a skipped weight."""

MAX_MULTIPLIERS = 254
"""Most multipliers of a layer: a code is a byte, 0 skips a weight, and 255 is reserved."""

_SHORTHANDS: dict[str, Axis] = {
    "llam": "layer",
    "flam": "filter",
    "klam-channel": "channel",
    "klam-row": "row",
    "klam-column": "column",
}

_NAMES = "|".join([*_SHORTHANDS, "klms"])
_PLUS = re.compile(rf"\+(?=\s*(?:{_NAMES})\s*=)")
"""A ``+`` separates shorthands: elsewhere it belongs to a number or a path."""
_NAMED = re.compile(r"\s*([\w-]+)\s*=(.*)", re.DOTALL)


@dataclass(frozen=True)
class Assignment:
    """The multipliers of one layer, before they are expanded to its weights.

    Raises:
        PlanError: there are no multipliers or too many, or axis, classes or ``skip_sigma`` are not
            valid.
    """

    multipliers: tuple[str, ...]
    """Multiplier specifications."""
    axis: Axis = "layer"
    """The axis whose elements have classes."""
    classes: tuple[int, ...] | None = None
    """For each element of the axis the index of its multiplier, or -1 to skip it. None: as many
    contiguous classes as multipliers, with sizes as equal as possible and larger ones first. With
    the axis ``weight``, one entry per weight in the order filters, rows, columns, channels."""
    skip_sigma: float | None = None
    """Skip weights more than this many standard deviations from the layer's mean weight (both of
    the int8 values). None: skip none."""

    def __post_init__(self) -> None:
        specs = tuple(self.multipliers)
        if not 1 <= len(specs) <= MAX_MULTIPLIERS:
            raise PlanError(f"an assignment has 1 to {MAX_MULTIPLIERS} multipliers")
        if not all(isinstance(spec, str) for spec in specs):
            raise PlanError("multipliers of an assignment are given by their specifications")
        if self.axis not in get_args(Axis):
            raise PlanError(f"'{self.axis}' is not an axis; there are: {', '.join(get_args(Axis))}")
        if self.axis == "weight" and self.classes is None:
            raise PlanError("an assignment of single weights needs a class for each of them")
        object.__setattr__(self, "multipliers", specs)
        if self.classes is not None:
            object.__setattr__(self, "classes", _checked_classes(self.classes, len(specs)))
        if self.skip_sigma is not None:
            object.__setattr__(self, "skip_sigma", _checked_sigma(self.skip_sigma))

    @classmethod
    def parse(cls, text: str) -> Assignment:
        """An assignment from a shorthand such as ``flam=exact|roup:1,4+klms=2``.

        Args:
            text: ``llam=M``, ``flam=M1|M2|…``, ``klam-channel=…``, ``klam-row=…``,
                ``klam-column=…`` or ``klms=K``. ``klms`` may be combined with one of the others by
                ``+``. A multiplier alone means ``llam=M``. A ``+`` or ``|`` in the path of a table
                separates only if a known word follows; such a path goes in double quotes:
                ``table:"FILE"#NAME``.

        Raises:
            PlanError: the text has another form, or names a multiplier that does not exist.
        """
        assignment = cls.read(text)
        for spec in assignment.multipliers:
            _multiplier(spec)
        return assignment

    @classmethod
    def read(cls, text: str) -> Assignment:
        """:meth:`parse` without checking that the multipliers exist.

        Raises:
            PlanError: the text has another form.
        """
        assignment: Assignment | None = None
        skip_sigma: float | None = None
        for part in _parts(text):
            named = _NAMED.fullmatch(part)
            name, value = ("llam", part) if named is None else (named[1], named[2])
            if name == "klms":
                if skip_sigma is not None:
                    raise PlanError(f"plan '{text}' gives klms twice")
                skip_sigma = _checked_sigma(value)
                continue
            if name not in _SHORTHANDS:
                known = ", ".join([*_SHORTHANDS, "klms"])
                raise PlanError(f"plan '{text}': '{name}' is not one of {known}")
            if assignment is not None:
                raise PlanError(f"plan '{text}': only klms can be combined with another shorthand")
            specs = tuple(split_multipliers(value))
            if name == "llam" and len(specs) != 1:
                raise PlanError(f"plan '{text}': llam takes one multiplier")
            assignment = cls(specs, _SHORTHANDS[name])
        return replace(assignment or cls(("exact",)), skip_sigma=skip_sigma)

    def shorthand(self) -> str | None:
        """The shorthand from which :meth:`parse` makes this assignment. None if there is none: the
        classes are given explicitly, or a multiplier's path would be misread."""
        if self.classes is not None or (self.axis == "layer" and len(self.multipliers) > 1):
            return None
        name = next(name for name, axis in _SHORTHANDS.items() if axis == self.axis)
        value = "|".join(self.multipliers)
        text = f"{name}={value}"
        if self.skip_sigma is not None:
            text = f"{text}+klms={_shortest(self.skip_sigma)}"
        whole = split_multipliers(value) == list(self.multipliers)
        return text if whole and _parts(text)[0] == f"{name}={value}" else None

    def expand(
        self, model: Model, layer: WeightedLayer, known: dict[str, Multiplier] | None = None
    ) -> LayerCodes:
        """The code of each weight of a layer.

        Args:
            model: the network.
            layer: one of its layers.
            known: a cache of multipliers by specification, to which those of this layer are added,
                so that several layers read a table's file once.

        Raises:
            PlanError: the classes do not fit the layer's shape, a multiplier does not exist, or its
                table does not cover the layer's activations.
        """
        classes = self._class_of_each_weight(model, layer)
        codes = (classes + 1).astype(np.uint8)
        if self.skip_sigma is not None:
            codes[_outside(layer.kernel, self.skip_sigma)] = SKIP
        known = {} if known is None else known
        for spec in self.multipliers:
            if spec not in known:
                known[spec] = _multiplier(spec)
        multipliers = tuple(known[spec] for spec in self.multipliers)
        expanded = LayerCodes(multipliers, codes).simplified()
        zero_point = model.tensors[layer.inputs[0]].zero_point
        low, high = INT8_MIN - zero_point, INT8_MAX - zero_point
        for m in expanded.multipliers:
            if low < m.activation_range[0] or high > m.activation_range[1]:
                raise PlanError(
                    f"layer '{layer.name}': activations span {low}..{high}, but the signed table "
                    f"'{m.spec}' covers {m.activation_range[0]}..{m.activation_range[1]} only: "
                    "give this layer another multiplier, such as exact, in a plan file"
                )
        return expanded

    def _class_of_each_weight(
        self, model: Model, layer: WeightedLayer
    ) -> npt.NDArray[np.integer[Any]]:
        shape = layer.kernel.shape
        filters, rows, columns, channels = shape
        if self.axis == "weight":
            return self._given(layer, math.prod(shape)).reshape(shape)
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
        return classes


@dataclass(frozen=True, eq=False)
class LayerCodes:
    """An assignment expanded for one layer."""

    multipliers: tuple[Multiplier, ...]
    codes: npt.NDArray[np.uint8]
    """uint8 [filters, rows, columns, channels]: 0 skips the weight, k means
    ``multipliers[k - 1]``."""

    def simplified(self) -> LayerCodes:
        """The same codes with equal multipliers merged and unused ones removed."""
        kept: list[Multiplier] = []
        translation = np.zeros(len(self.multipliers) + 1, np.uint8)
        counts = np.bincount(self.codes.reshape(-1).astype(np.intp))
        used = set(np.flatnonzero(counts).tolist())
        for k, m in enumerate(self.multipliers, start=1):
            if k in used:
                if m not in kept:
                    kept.append(m)
                translation[k] = kept.index(m) + 1
        return LayerCodes(tuple(kept), translation[self.codes])

    def counts(self) -> dict[str, int]:
        """Number of weights by multiplier specification; skipped weights under ``skip``."""
        numbers = np.bincount(
            self.codes.reshape(-1).astype(np.intp), minlength=len(self.multipliers) + 1
        )
        counts = {m.spec: int(n) for m, n in zip(self.multipliers, numbers[1:])}
        return counts if numbers[SKIP] == 0 else {**counts, "skip": int(numbers[SKIP])}


class Plan:
    """Which multiplier each weight of a network is multiplied by.

    A plan has an assignment for each weighted layer. Make one with :meth:`parse`, :meth:`load`,
    :meth:`uniform` or :meth:`from_codes`. Plans are equal if their assignments are.

    Args:
        layers: assignments by layer name.
        default: the assignment of layers that are not named; None: every layer must be named.

    Examples:
        >>> plan = Plan.parse(model, "flam=exact|roup:1,4")  # half of each layer's filters exact
        >>> plan.save("plan.json")
        >>> Plan.load("plan.json") == plan
        True
    """

    def __init__(
        self, layers: Mapping[str, Assignment] | None = None, default: Assignment | None = None
    ) -> None:
        self.layers = dict(layers or {})
        self.default = default

    @classmethod
    def uniform(cls, spec: str = "exact") -> Plan:
        """A plan with one multiplier everywhere, given by its specification."""
        return cls(default=Assignment((spec,)))

    @classmethod
    def parse(cls, model: Model, text: str) -> Plan:
        """A plan that applies one shorthand to every layer.

        Args:
            model: the network.
            text: a specification such as ``roup:1,4``, or a shorthand such as
                ``flam=exact|roup:1,4+klms=2``. :meth:`Assignment.parse` lists all of them.

        Raises:
            PlanError: the text is malformed, or does not fit some layer.
        """
        assignment = Assignment.parse(text)
        plan = cls({layer.name: assignment for layer in model.layers})
        plan.expand(model)
        return plan

    @classmethod
    def from_codes(
        cls, codes: Mapping[str, tuple[Sequence[str], npt.NDArray[np.integer[Any]]]]
    ) -> Plan:
        """A plan from an explicit code for each weight.

        Args:
            codes: for each layer name, multiplier specifications and an integer array [filters,
                rows, columns, channels]: 0 skips a weight, k means the k-th multiplier, counted
                from 1.

        Raises:
            PlanError: a code is negative or has no multiplier.

        Examples:
            >>> codes = np.ones((16, 3, 3, 1), np.uint8)
            >>> codes[8:] = 2
            >>> plan = Plan.from_codes({"conv_0": (["exact", "roup:1,4"], codes)})
        """
        layers = {}
        for name, (specs, array) in codes.items():
            classes = tuple(int(c) - 1 for c in np.asarray(array).reshape(-1))
            layers[name] = Assignment(tuple(specs), "weight", classes)
        return cls(layers)

    @classmethod
    def load(cls, path: str | Path) -> Plan:
        """Read a plan file (JSON).

        Relative paths of tables are looked up beside the file, then in the working directory. The
        plan is not checked against a network; :meth:`expand` and everything that runs it does that.

        Raises:
            PlanError: the file cannot be read or is not a valid plan. The message names the place.
        """
        try:
            text = files.read_text(path)
        except OSError as error:
            raise PlanError(f"plan '{path}' cannot be read: {error.strerror}") from error
        except UnicodeDecodeError as error:
            raise PlanError(f"plan '{path}' is not text in UTF-8: {error}") from error
        return cls._read(text, f"plan '{path}'", Path(path).parent)

    @classmethod
    def from_content(cls, content: Mapping[str, Any]) -> Plan:
        """A plan from the content of a plan file, as :meth:`content` returns it.

        Raises:
            PlanError: the content is not valid. The message names the place.
        """
        return cls._read(dict(content), "the plan", Path())

    @classmethod
    def _read(cls, content: str | dict[str, Any], name: str, folder: Path) -> Plan:
        try:
            if isinstance(content, str):
                file = _PlanFile.model_validate_json(content)
            else:
                file = _PlanFile.model_validate(content)
        except ValidationError as error:
            # An entry is a text or a table.
            reason = complaint(error, ("str", _ExplicitAssignment.__name__))
            raise PlanError(f"{name} is not valid: {reason}") from error
        entries = {"the default": file.default} if file.default is not None else {}
        entries |= {f"layer '{layer}'": entry for layer, entry in file.layers.items()}
        assignments = []
        for where, entry in entries.items():
            try:
                assignments.append(_from_file(entry, folder))
            except (PlanError, MultiplierError) as error:
                raise PlanError(f"{name}: {where}: {error}") from error
        default = None if file.default is None else assignments.pop(0)
        return cls(dict(zip(file.layers, assignments)), default)

    def content(self, folder: str | Path = ".") -> dict[str, Any]:
        """The content of a plan file, as JSON values: texts, numbers, lists and dictionaries.

        Args:
            folder: where the file will be, which matters for relative paths of tables.
        """
        default = None if self.default is None else _to_file(self.default, Path(folder))
        layers = {name: _to_file(each, Path(folder)) for name, each in self.layers.items()}
        file = _PlanFile(format="axynq-plan", version=1, default=default, layers=layers)
        return file.model_dump(exclude_none=True)

    def save(self, path: str | Path) -> None:
        """Write a plan file (JSON), from which :meth:`load` reads an equal plan.

        Paths of tables are written as they are. If another table with the same relative path is
        beside the file, the absolute path is written instead.

        Raises:
            PlanError: the file cannot be written.
        """
        text = json.dumps(self.content(Path(path).parent), indent=2, ensure_ascii=False)
        try:
            files.write_text(path, text + "\n")
        except OSError as error:
            raise PlanError(f"plan '{path}' cannot be written: {error.strerror}") from error
        except UnicodeEncodeError as error:
            raise PlanError(
                f"plan '{path}' cannot be written: a path or a name in it is not valid Unicode"
            ) from error

    @property
    def depends_on_weights(self) -> bool:
        """Whether the codes depend on the values of the weights (``klms``)."""
        assignments = [*self.layers.values(), *([self.default] if self.default else [])]
        return any(each.skip_sigma is not None for each in assignments)

    def expand(self, model: Model) -> dict[str, LayerCodes]:
        """The multipliers and the code of each weight, by layer name.

        Raises:
            PlanError: the plan names a layer that the model does not have, leaves one out, or does
                not fit one.
        """
        names = [layer.name for layer in model.layers]
        unknown = [name for name in self.layers if name not in names]
        if unknown:
            raise PlanError(
                f"the plan names layer '{unknown[0]}', which model '{model.name}' does not have; "
                f"its layers are: {', '.join(names)}"
            )
        expanded = {}
        known: dict[str, Multiplier] = {}
        for layer in model.layers:
            assignment = self.layers.get(layer.name, self.default)
            if assignment is None:
                raise PlanError(
                    f"the plan says nothing of layer '{layer.name}', and has no default"
                )
            expanded[layer.name] = assignment.expand(model, layer, known)
        return expanded

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Plan):
            return NotImplemented
        return self.layers == other.layers and self.default == other.default

    def __repr__(self) -> str:
        return f"Plan({self.layers!r}, default={self.default!r})"


def _outside(weights: npt.NDArray[np.int8], sigma: float) -> npt.NDArray[np.bool_]:
    """Which weights are further than so many standard deviations from the mean.

    In whole numbers: a weight at the very limit stays, on every processor.
    """
    values = range(WEIGHT_MIN, WEIGHT_MAX + 1)
    count = weights.size
    index = weights.astype(np.int16) - WEIGHT_MIN
    numbers = np.bincount(index.reshape(-1).astype(np.intp), minlength=len(values)).tolist()
    total = sum(n * w for n, w in zip(numbers, values))
    squares = sum(n * w**2 for n, w in zip(numbers, values))
    # No weight is further from the mean than the root of their number, in standard deviations.
    limit = Fraction(min(sigma, float(count))) ** 2 * (count * squares - total**2)
    outside = np.array([(count * w - total) ** 2 > limit for w in values])
    return outside[index]


def _multiplier(spec: str) -> Multiplier:
    try:
        return multiplier(spec)
    except MultiplierError as error:
        raise PlanError(str(error)) from error


def _parts(text: str) -> list[str]:
    """The shorthands in a text, apart."""
    places = [0, *(found.end() for found in _PLUS.finditer(without_quoted(text))), len(text) + 1]
    return [text[start : end - 1].strip() for start, end in pairwise(places)]


def _shortest(number: float) -> str:
    """The shortest decimal that is this number again."""
    short = f"{number:g}"
    return short if float(short) == number else repr(number)


def _checked_sigma(value: float | str) -> float:
    try:
        sigma = float(value)
    except (TypeError, ValueError, OverflowError):
        sigma = math.nan
    if not 0 < sigma < math.inf:
        raise PlanError(f"klms takes a positive number of standard deviations, not '{value}'")
    return sigma


def _checked_classes(given: Sequence[int], multipliers: int) -> tuple[int, ...]:
    """Classes as a tuple of Python's integers."""
    try:
        classes = np.asarray(given)
    except ValueError:  # sequences of different lengths
        classes = np.zeros((0, 0))
    if classes.ndim != 1 or (classes.size and classes.dtype.kind not in "iu"):
        raise PlanError("classes are a sequence of whole numbers")
    if classes.size and (int(classes.min()) < -1 or int(classes.max()) >= multipliers):
        raise PlanError(
            f"classes run from 0 to {multipliers - 1} (-1 skips), one for each multiplier"
        )
    return tuple(classes.tolist())


# --- the file format -----------------------------------------------------------------------------


class _ExplicitAssignment(BaseModel):
    """An assignment that lists its multipliers, and its classes where they are not contiguous."""

    model_config = ConfigDict(extra="forbid")

    multipliers: Annotated[list[str], Field(min_length=1, max_length=MAX_MULTIPLIERS)]
    axis: Axis
    classes: list[int] | None = None
    packed: str | None = None
    """Classes of single weights: base64 of zlib of int16, little-endian."""
    klms: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None


class _PlanFile(BaseModel):
    model_config = ConfigDict(extra="forbid")

    format: Literal["axynq-plan"]
    version: Literal[1]
    default: str | _ExplicitAssignment | None = None
    layers: dict[str, str | _ExplicitAssignment]


def _to_file(assignment: Assignment, folder: Path) -> str | _ExplicitAssignment:
    """An assignment as a file of that folder holds it."""
    specs = tuple(written_in(spec, folder) for spec in assignment.multipliers)
    assignment = replace(assignment, multipliers=specs)
    text = assignment.shorthand()
    if text is not None:
        return text
    file = _ExplicitAssignment(
        multipliers=list(specs), axis=assignment.axis, klms=assignment.skip_sigma
    )
    if assignment.axis == "weight":
        content = np.array(assignment.classes, "<i2").tobytes()
        file.packed = base64.b64encode(zlib.compress(content, 9)).decode("ascii")
    elif assignment.classes is not None:
        file.classes = list(assignment.classes)
    return file


def _from_file(entry: str | _ExplicitAssignment, folder: Path) -> Assignment:
    """What a file of that folder says."""
    assignment = Assignment.read(entry) if isinstance(entry, str) else _explicit(entry)
    specs = tuple(seen_from(spec, folder) for spec in assignment.multipliers)
    for spec in specs:
        _multiplier(spec)
    return replace(assignment, multipliers=specs)


def _explicit(entry: _ExplicitAssignment) -> Assignment:
    if entry.classes is not None and entry.packed is not None:
        raise PlanError("an explicit assignment has either 'classes' or 'packed'")
    classes = entry.classes
    if entry.packed is not None:
        try:
            content = zlib.decompress(base64.b64decode(entry.packed, validate=True))
            classes = np.frombuffer(content, "<i2").tolist()
        except (ValueError, zlib.error) as error:
            raise PlanError(f"packed classes are damaged: {error}") from error
    return Assignment(
        tuple(entry.multipliers),
        entry.axis,
        None if classes is None else tuple(classes),
        entry.klms,
    )
