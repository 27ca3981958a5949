# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""What became of networks that were retrained, on disk."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from axynq.emulator import files
from axynq.emulator.arrays import open_arrays
from axynq.emulator.errors import DataError
from axynq.emulator.model.graph import Int8Array, Int32Array, Model
from axynq.emulator.model.segments import replace_layers
from axynq.emulator.studies.comparison import Right

Scales = npt.NDArray[np.float32]
"""[filters]: what a step of each filter's weights is."""


@dataclass(frozen=True, eq=False)
class Retrained:
    """A network after training."""

    layers: Mapping[str, tuple[Int8Array, Int32Array, Scales]]
    """Weights, biases and the scales of filters' weights by layer, in the shapes that the layer
    has them in."""
    parameters: Mapping[str, npt.NDArray[np.float32]]
    """Real weights and biases, of which those are the integers; to train on from."""
    right: Right
    """[held-out examples]: which it classifies rightly under the plan it was trained for."""
    accuracies: tuple[float, ...]
    """On the held-out examples after each epoch, the first before training, 0 to 1."""

    def model(self, model: Model) -> Model:
        """``model`` with these weights, biases and scales."""
        layers = [
            replace(layer, weights=weights, bias=bias, weight_scales=scales)
            for layer in model.layers
            for weights, bias, scales in [self.layers[layer.name]]
        ]
        return replace_layers(model, layers)

    def save(self, path: Path) -> None:
        """Raises:
        DataError: the file cannot be written.
        """
        # Numbered arrays, and their names as JSON: names of layers may be anything.
        words = {
            "layers": list(self.layers),
            "parameters": list(self.parameters),
            "examples": len(self.right),
            "accuracies": list(self.accuracies),
        }
        arrays: dict[str, npt.NDArray[np.generic]] = {"right": np.packbits(self.right)}
        for k, (weights, bias, scales) in enumerate(self.layers.values()):
            arrays |= {f"weights{k}": weights, f"bias{k}": bias, f"scales{k}": scales}
        for k, values in enumerate(self.parameters.values()):
            arrays[f"parameter{k}"] = values
        content = io.BytesIO()
        np.savez(content, words=np.array(json.dumps(words)), **arrays)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            files.write_bytes(path, content.getvalue())
        except OSError as error:
            raise DataError(f"'{path}' cannot be written: {error.strerror}") from error

    @classmethod
    def load(cls, path: Path) -> Retrained | None:
        """What :meth:`save` wrote, or None where there is nothing that can be used."""
        try:
            with open_arrays(path) as arrays:
                words = json.loads(str(arrays["words"]))
                layers = {
                    str(name): (arrays[f"weights{k}"], arrays[f"bias{k}"], arrays[f"scales{k}"])
                    for k, name in enumerate(words["layers"])
                }
                parameters = {
                    str(name): arrays[f"parameter{k}"] for k, name in enumerate(words["parameters"])
                }
                right = np.unpackbits(arrays["right"], count=int(words["examples"])).astype(bool)
                return cls(layers, parameters, right, tuple(map(float, words["accuracies"])))
        except (OSError, ValueError, LookupError, TypeError):
            return None
