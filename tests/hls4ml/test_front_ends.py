"""hls4ml's own conversions of models of Keras, PyTorch and QONNX."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.hls4ml.front_ends import FrontEnd, keras_digits, qonnx_digits, torch_digits

pytest.importorskip("sklearn")

MAKERS = {"keras": keras_digits, "torch": torch_digits, "qonnx": qonnx_digits}


def made(name: str) -> FrontEnd:
    pytest.importorskip(name)
    return MAKERS[name]()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "backend", "io_type"),
    [
        ("keras", "Vitis", "io_parallel"),
        pytest.param("torch", "Vitis", "io_stream", marks=pytest.mark.thorough),
        ("qonnx", "Vitis", "io_parallel"),
        pytest.param("keras", "Vivado", "io_stream", marks=pytest.mark.thorough),
        pytest.param("torch", "Vivado", "io_parallel", marks=pytest.mark.thorough),
        pytest.param("qonnx", "Vitis", "io_stream", marks=pytest.mark.thorough),
        pytest.param("keras", "VivadoAccelerator", "io_stream", marks=pytest.mark.thorough),
    ],
)
def test_designs_compute_what_the_models_do(
    name: str, backend: str, io_type: str, tmp_path: Path
) -> None:
    front = made(name)
    design = front.design(tmp_path, backend, io_type)
    design.compile()
    y = design.predict(np.ascontiguousarray(front.x)).reshape(-1, 10)
    assert np.array_equal(y, front.quantised)
    assert (y.argmax(1) == front.outputs.argmax(1)).mean() > 0.98
    assert (y.argmax(1) == front.y).mean() > 0.9


@pytest.mark.slow
@pytest.mark.parametrize("name", MAKERS)
def test_layers_keep_what_is_configured(name: str, tmp_path: Path) -> None:
    """The configuration's names lead to the layers, and all weights have 8 bits."""
    front = made(name)
    config = front.hls_config("Vitis")
    for place, layer in enumerate(front.layers):
        config["LayerName"][layer]["Remembered"] = place
    design = front.convert(
        front.model, hls_config=config, backend="Vitis", io_type="io_parallel",
        output_dir=str(tmp_path),
    )  # fmt: skip
    layers = [layer for layer in design.get_layers() if "weight" in layer.weights]
    found = [design.config.get_layer_config_value(layer, "Remembered") for layer in layers]
    assert found == [0, 1, 2, 3]
    assert {layer.weights["weight"].type.precision.width for layer in layers} == {8}
