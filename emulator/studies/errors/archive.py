# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""Error statistics as a file: ``.npz`` with the moments of each layer, and a JSON description."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from axynq.emulator import files
from axynq.emulator.arrays import open_arrays
from axynq.emulator.errors import DataError
from axynq.emulator.studies.errors.extraction import ErrorStatistics, LayerStatistics
from axynq.emulator.studies.errors.moments import PairMoments
from axynq.emulator.validation import complaint

_ARRAYS = ("output_mean", "error_mean", "output_squares", "error_squares", "products")


class _Description(BaseModel):
    model_config = ConfigDict(extra="forbid")

    format: Literal["axynq-error-statistics"]
    version: Literal[1]
    model: str
    plan: str
    samples: Annotated[int, Field(ge=1)]
    layers: list[str]
    counts: list[int]
    """Samples behind each element, by layer: more than ``samples`` in the reduced form."""
    description: dict[str, Any]


def save_statistics(statistics: ErrorStatistics, path: str | Path) -> None:
    """Write a ``.npz``: for each layer its moments and ``scale``, for readers without axynq also
    ``error_deviation`` and ``correlation``; ``description`` is JSON text.

    Raises:
        DataError: the file cannot be written.
    """
    layers = statistics.layers.values()
    description = _Description(
        format="axynq-error-statistics",
        version=1,
        model=statistics.model,
        plan=statistics.plan,
        samples=statistics.samples,
        layers=[layer.name for layer in layers],
        counts=[layer.neurons.count for layer in layers],
        description=dict(statistics.description),
    )
    arrays: dict[str, Any] = {"description": np.array(description.model_dump_json())}
    for layer in layers:
        for name in (*_ARRAYS, "error_deviation", "correlation"):
            arrays[f"{layer.name}/{name}"] = getattr(layer.neurons, name)
        arrays[f"{layer.name}/scale"] = layer.scale
    content = io.BytesIO()
    np.savez_compressed(content, **arrays)
    try:
        files.write_bytes(path, content.getvalue())
    except OSError as error:
        raise DataError(f"statistics '{path}' cannot be written: {error.strerror}") from error


def load_statistics(path: str | Path) -> ErrorStatistics:
    """Read what :func:`save_statistics` wrote.

    Raises:
        DataError: the file cannot be read, or holds something else.
    """
    try:
        with open_arrays(path) as content:
            arrays = {name: np.asarray(content[name]) for name in content}
        description = _Description.model_validate_json(str(arrays["description"]))
        layers = {
            name: LayerStatistics(
                name,
                PairMoments(count, *(arrays[f"{name}/{array}"] for array in _ARRAYS)),
                arrays[f"{name}/scale"],
            )
            for name, count in zip(description.layers, description.counts, strict=True)
        }
    except OSError as error:
        raise DataError(f"statistics '{path}' cannot be read: {error}") from error
    except ValidationError as error:
        raise DataError(
            f"'{path}' is not a file of error statistics: {complaint(error)}; `axynq noise` makes "
            "them"
        ) from error
    except (KeyError, ValueError) as error:
        raise DataError(
            f"'{path}' is not a file of error statistics; `axynq noise` makes them"
        ) from error
    return ErrorStatistics(
        description.model,
        description.plan,
        description.samples,
        layers,
        description.description,
    )
