# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""Fixtures shared by all tests: third-party data, and the networks in it."""

from __future__ import annotations

import importlib.util
import os
import re
import signal
from pathlib import Path

# Tests run beside each other: threads of numpy and torch would only wait for each other. These are
# read when numpy is loaded; `make test-matrix` gives other numbers.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", os.environ["OMP_NUM_THREADS"])

import numpy as np
import pytest
from hypothesis import HealthCheck, settings

from axynq.emulator import load_model
from axynq.emulator.datasets import Dataset
from axynq.emulator.errors import ToolError
from axynq.emulator.model.graph import Model

settings.register_profile(
    "default",
    deadline=None,  # machines are noisy: no timed assertions
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
settings.load_profile("default")

os.environ.setdefault("KERAS_BACKEND", "torch")  # read when Keras is loaded

if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:  # as in a shell's background jobs
    signal.signal(signal.SIGINT, signal.default_int_handler)


NEEDS_PYNQ = "running programs needs pynq"
WITHOUT_PYNQ = importlib.util.find_spec("pynq") is None
LOADS_PYNQ = r"^(import pynq|from axynq\.host\.(runtime\.driver|software_board\.device) import)"

collect_ignore = [
    str(path)
    for path in Path(__file__).parent.rglob("test_*.py")
    if WITHOUT_PYNQ and re.search(LOADS_PYNQ, path.read_text(encoding="utf-8"), re.MULTILINE)
]


def pytest_report_header() -> str | None:
    if not WITHOUT_PYNQ:
        return None
    names = ", ".join(sorted(Path(path).name for path in collect_ignore))
    return f"pynq is not installed: {names} are left out, tests that run programs are skipped"


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_setupnodes(config: pytest.Config) -> None:
    """Before the workers of a run of all tests start."""
    if config.args_source is config.ArgsSource.TESTPATHS:
        from tests.preparation import prepare

        prepare()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item):
    """Where pynq cannot be installed (Python 3.13), tests that run programs are skipped, by
    themselves or through a command whose output they show."""
    try:
        return (yield)
    except (ToolError, AssertionError, ModuleNotFoundError) as error:
        _skip_without_pynq(str(error))
        raise


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup(item: pytest.Item):
    """The same for fixtures."""
    try:
        return (yield)
    except (ToolError, AssertionError, ModuleNotFoundError) as error:
        _skip_without_pynq(str(error))
        raise


def _skip_without_pynq(message: str) -> None:
    if WITHOUT_PYNQ and (NEEDS_PYNQ in message or message == "No module named 'pynq'"):
        pytest.skip(f"{NEEDS_PYNQ}, which is not installed")


def data_file(*parts: str) -> Path:
    """A file of the third-party data; the test is skipped where there is none."""
    folder = os.environ.get("AXYNQ_DATA")
    if not folder:
        pytest.skip("AXYNQ_DATA is not set: third-party data (MLPerf Tiny, CIFAR-10) is not here")
    path = Path(folder, *parts)
    if not path.exists():
        pytest.skip(f"third-party data {path} is not here")
    return path


@pytest.fixture(scope="session")
def resnet8_path() -> Path:
    return data_file("models", "mlperf_tiny_resnet8_int8.tflite")


@pytest.fixture(scope="session")
def keyword_path() -> Path:
    return data_file("models", "mlperf_tiny_kws_int8.tflite")


@pytest.fixture(scope="session")
def resnet8(resnet8_path: Path) -> Model:
    return load_model(resnet8_path)


@pytest.fixture(scope="session")
def keyword(keyword_path: Path) -> Model:
    return load_model(keyword_path)


@pytest.fixture(scope="session")
def keyword_samples() -> tuple[np.ndarray, np.ndarray]:
    """1 000 keyword samples, int8, and their labels."""
    with np.load(data_file("kws01.npz")) as arrays:
        return arrays["x"], arrays["y"]


@pytest.fixture(scope="session")
def cifar10_path() -> Path:
    return data_file("cifar10-jpeg.tar.xz")


@pytest.fixture(scope="session")
def cifar10(cifar10_path: Path) -> Dataset:
    """The test images, as they are loaded: in 6 seconds."""
    from axynq.emulator.datasets import load_dataset

    return load_dataset(cifar10_path)


@pytest.fixture(scope="session")
def cifar10_images(cifar10: Dataset, resnet8: Model) -> np.ndarray:
    """200 CIFAR-10 test images in ResNet-8's input quantisation."""
    from axynq.emulator.datasets import quantise_examples

    return quantise_examples(resnet8.input, cifar10.evenly(200).x)


@pytest.fixture(scope="session")
def digits_path() -> Path:
    return Path(__file__).parents[1] / "models" / "digits_int8.tflite"


@pytest.fixture(scope="session")
def digits(digits_path: Path) -> Model:
    return load_model(digits_path)
