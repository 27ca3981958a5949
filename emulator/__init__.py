# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""Bit-exact software emulation of int8 CNNs with approximate multipliers.

Load a network, choose a plan, run it:

>>> from axynq.emulator import Emulator, Plan, load_model
>>> model = load_model("model.tflite")
>>> plan = Plan.parse(model, "flam=exact|roup:1,4")
>>> output = Emulator(model, plan).run(images)

Float networks of other frameworks are quantised first. Their packages are imported only when one
of these functions is used:

>>> from axynq.emulator import from_torch, load_float_network, quantise
>>> model = from_torch(module, calibration)
>>> model = quantise(load_float_network("float.onnx"), calibration).model

Every error that a user can cause is an :class:`AxynqError`.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from axynq.emulator import moved

if TYPE_CHECKING:
    from axynq.emulator.emulation import Accumulators, Emulator
    from axynq.emulator.errors import AxynqError
    from axynq.emulator.file_formats.loading import load_model
    from axynq.emulator.file_formats.tflite_writer import save_model
    from axynq.emulator.frameworks.float_files import load_float_network
    from axynq.emulator.frameworks.pytorch import from_torch, to_torch, write_back
    from axynq.emulator.multipliers import Multiplier, multiplier
    from axynq.emulator.plan import Plan
    from axynq.emulator.quantisation.quantise import quantise

    __version__: str

__all__ = [
    "Accumulators",
    "AxynqError",
    "Emulator",
    "Multiplier",
    "Plan",
    "__version__",
    "from_torch",
    "load_float_network",
    "load_model",
    "multiplier",
    "quantise",
    "save_model",
    "to_torch",
    "write_back",
]

_WHEN_ASKED = {
    "Accumulators": "axynq.emulator.emulation",
    "AxynqError": "axynq.emulator.errors",
    "Emulator": "axynq.emulator.emulation",
    "Multiplier": "axynq.emulator.multipliers",
    "Plan": "axynq.emulator.plan",
    "from_torch": "axynq.emulator.frameworks.pytorch",
    "load_float_network": "axynq.emulator.frameworks.float_files",
    "load_model": "axynq.emulator.file_formats.loading",
    "multiplier": "axynq.emulator.multipliers",
    "quantise": "axynq.emulator.quantisation.quantise",
    "to_torch": "axynq.emulator.frameworks.pytorch",
    "write_back": "axynq.emulator.frameworks.pytorch",
}
"""Where names are. Each is loaded when it is asked for: boards have no modules that only importing
a network needs, and the command line answers at once."""


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from axynq.emulator.version import installed_version

        return installed_version()
    if name == "save_model":
        return _save_model()
    if name not in _WHEN_ASKED:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_WHEN_ASKED[name]), name)


def _save_model() -> Any:
    try:
        from axynq.emulator.file_formats.tflite_writer import save_model
    except ModuleNotFoundError as error:  # boards run programs without the format's schema
        if error.name not in ("tflite", "flatbuffers"):
            raise
        from axynq.emulator.file_formats.no_tflite import save_model
    return save_model


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


moved.install(__name__, moved.EMULATOR)
