# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""Which multipliers a configuration of hls4ml asks for.

``Multipliers`` stands in the configuration of a layer, of a type of layer, or of the model, and is

- a specification or shorthand: ``roup:1,4``, ``flam=exact|roup:1,4``;
- a list of specifications, one for each filter;
- an entry of a plan file: ``{"multipliers": [...], "axis": "filter", "classes": [...]}``;
- for the model, the path of a plan file (``.json``) or its content (:meth:`Plan.content`);
- for a layer, ``None``: it keeps hls4ml's products, whatever its type and the model have;
- for a separable convolution, ``{"depthwise": ..., "pointwise": ...}`` of these.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from axynq.emulator.errors import MultiplierError, PlanError
from axynq.emulator.multipliers import multiplier
from axynq.emulator.plan import Assignment, Plan
from axynq.hls4ml.layers import SEPARABLE, WEIGHTED

KEY = "Multipliers"

_TYPES = (*WEIGHTED, *SEPARABLE)

_PARTS = ("depthwise", "pointwise")
"""Layers that hls4ml makes of a separable convolution have these behind its name."""


_OF_ONNX = re.compile(r"^(Conv[12]D|DepthwiseConv[12]D|Dense)_")


def with_plan(hls_config: Mapping[str, Any], plan: Plan | str | Path) -> dict[str, Any]:
    """A copy of an hls4ml configuration with the multipliers of a plan.

    Args:
        hls_config: a configuration such as ``hls4ml.utils.config_from_keras_model`` returns; it is
            not changed. Multipliers that it has are replaced.
        plan: a plan whose layers are those of the design, or the path of a plan file.

    Raises:
        PlanError: the file cannot be read.
    """
    if not isinstance(plan, Plan):
        plan = Plan.load(plan)
    config = copy.deepcopy(dict(hls_config))
    config.setdefault("Model", {}).pop(KEY, None)
    for kind in ("LayerName", "LayerType"):
        for entry in config.get(kind, {}).values():
            entry.pop(KEY, None)
    config["Model"][KEY] = plan.content()
    return config


def assignments(hls_config: Mapping[str, Any], layers: Mapping[str, str]) -> dict[str, Assignment]:
    """The multipliers of the layers that have some.

    Args:
        hls_config: of the design.
        layers: the types of the design's multiplying layers, by their names. The design may be a
            part of the one that the configuration is for.

    Raises:
        PlanError: an entry is malformed.
    """
    whole = _entry(hls_config.get("Model"))
    plan = _plan(whole)
    by_name = hls_config.get("LayerName", {})
    # hls4ml does not tell types apart by upper and lower case either.
    by_type = {kind.lower(): entry for kind, entry in hls_config.get("LayerType", {}).items()}
    found: dict[str, Assignment] = {}
    for name, kind in layers.items():
        names = _names(name)
        if any(_keeps_own(by_name.get(each)) for each in names):
            continue
        given = next((g for each in names if (g := _given(by_name, each)) is not None), None)
        if given is None:
            given = _entry(by_type.get(kind.lower()))
        if given is None:
            given = _entry(by_type.get(kind.removeprefix("Pointwise").lower()))
        if given is not None:
            found[name] = _assignment(given, name)
        elif plan is not None:
            own = [plan.layers[each] for each in names if each in plan.layers]
            if (assignment := own[0] if own else plan.default) is not None:
                found[name] = assignment
        elif whole is not None:
            found[name] = _assignment(whole, name)
    return found


def _keeps_own(config: Any) -> bool:
    """Whether a layer is to keep hls4ml's products, whatever is said for others."""
    return isinstance(config, Mapping) and KEY in config and config[KEY] is None


def asks(hls_config: Mapping[str, Any]) -> bool:
    """Whether a configuration asks for multipliers anywhere."""
    entries = [hls_config.get("Model")]
    for kind in ("LayerName", "LayerType"):
        entries += hls_config.get(kind, {}).values()
    return any(_entry(entry) is not None for entry in entries)


def check_entries(hls_config: Mapping[str, Any], layers: Mapping[str, str]) -> None:
    """See whether there is everything that is to have multipliers.

    Args:
        hls_config: of a whole design.
        layers: as for :func:`assignments`.

    Raises:
        PlanError: there is no such layer, or no such type of layer; or the key is misspelt.
    """
    by_name = hls_config.get("LayerName", {})
    by_type = hls_config.get("LayerType", {})
    for where, entry in [("Model", hls_config.get("Model")), *by_name.items(), *by_type.items()]:
        for key in entry if isinstance(entry, Mapping) else ():
            if key != KEY and str(key).lower() in ("multiplier", KEY.lower()):
                raise PlanError(f"'{key}' of '{where}' in the configuration is called {KEY}")
    for kind, entry in by_type.items():
        if _entry(entry) is not None and kind.lower() not in map(str.lower, _TYPES):
            raise PlanError(
                f"layers of the type '{kind}' cannot have multipliers; these can: "
                f"{', '.join(_TYPES)}"
            )
    _check_names(by_name, _plan(_entry(hls_config.get("Model"))), layers)


def check_parts(name: str, given: Any, by_name: Mapping[str, Any]) -> None:
    """See whether the parts of a separable convolution keep their multipliers: hls4ml replaces
    their entries by that of the convolution, if it has one.

    Args:
        name: of the convolution.
        given: its entry, joined with that of its type.
        by_name: the entries of layers.

    Raises:
        PlanError: they do not.
    """
    if not given or _entry(given) is not None:
        return
    for part in _PARTS:
        if _entry(by_name.get(f"{name}_{part}")) is not None:
            raise PlanError(
                f"layer '{name}_{part}': hls4ml replaces its entry by that of '{name}': give "
                f"{KEY} there, as {{'depthwise': ..., 'pointwise': ...}}"
            )


def serves_all(hls_config: Mapping[str, Any]) -> bool:
    """Whether a configuration asks for multipliers in all layers, and not in certain ones."""
    whole = _entry(hls_config.get("Model"))
    plan = _plan(whole)
    return whole is not None and (plan is None or plan.default is not None)


def _names(name: str) -> tuple[str, ...]:
    """What a layer is called in configurations: layers of an ONNX model have the type of the layer
    before the name of the node in the design, ``Conv2D_Conv_0``."""
    node = _OF_ONNX.sub("", name)
    return (name,) if node == name else (name, node)


def _entry(config: Any) -> Any:
    return config.get(KEY) if isinstance(config, Mapping) else None


def _given(by_name: Mapping[str, Any], name: str) -> Any:
    """What a layer's own entry says, or that of the separable convolution that it is a part of."""
    if (given := _entry(by_name.get(name))) is not None and not _is_separable(given):
        return given
    for part in _PARTS:
        whole = _entry(by_name.get(name.removesuffix(f"_{part}")))
        if name.endswith(f"_{part}") and whole is not None:
            return whole.get(part) if _is_separable(whole) else whole
    if given is not None:  # hls4ml copies a separable convolution's entry to its parts
        return next((given.get(part) for part in _PARTS if name.endswith(f"_{part}")), given)
    return None


def _is_separable(given: Any) -> bool:
    return isinstance(given, Mapping) and bool(given) and set(given) <= set(_PARTS)


def _plan(whole: Any) -> Plan | None:
    if isinstance(whole, Mapping) and "layers" in whole:
        return Plan.from_content(whole)
    if isinstance(whole, str) and whole.endswith(".json"):
        return Plan.load(whole)
    return None


def _check_names(by_name: Mapping[str, Any], plan: Plan | None, layers: Mapping[str, str]) -> None:
    asked = [name for name, config in by_name.items() if _entry(config) is not None]
    asked += list(plan.layers) if plan is not None else []
    known = {each for name in layers for each in _names(name)}
    for name in asked:
        if name not in known and not any(f"{name}_{part}" in known for part in _PARTS):
            raise PlanError(
                f"layer '{name}' is to have multipliers, but there is no such layer that "
                f"multiplies; there are: {', '.join(layers)}"
            )


def _assignment(given: Any, name: str) -> Assignment:
    try:
        if isinstance(given, str):
            return Assignment.parse(given)
        if isinstance(given, Mapping):
            content = {"format": "axynq-plan", "version": 1, "layers": {name: dict(given)}}
            return Plan.from_content(content).layers[name]
        if isinstance(given, Sequence):
            return _per_filter(given)
    except PlanError as error:
        raise PlanError(f"layer '{name}': {error}") from error
    raise PlanError(
        f"layer '{name}': {KEY} is a text, a list with a text for each filter, or an entry of a "
        f"plan, not {type(given).__name__} (with_plan puts a whole plan into a configuration)"
    )


def _per_filter(specs: Sequence[Any]) -> Assignment:
    if not all(isinstance(spec, str) for spec in specs):
        raise PlanError(f"a list of {KEY} has a specification for each filter")
    distinct = tuple(dict.fromkeys(specs))
    for spec in distinct:
        try:
            multiplier(spec)
        except MultiplierError as error:
            raise PlanError(str(error)) from error
    return Assignment(distinct, "filter", tuple(distinct.index(spec) for spec in specs))
