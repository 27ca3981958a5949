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
from axynq.emulator.emulation import Accumulators, Emulator
from axynq.emulator.errors import AxynqError
from axynq.emulator.file_formats.loading import load_model
from axynq.emulator.multipliers import Multiplier, multiplier
from axynq.emulator.plan import Plan
from axynq.emulator.version import installed_version

try:
    from axynq.emulator.file_formats.tflite_writer import save_model
except ModuleNotFoundError as error:  # boards run compiled programs without the format's schema
    if error.name not in ("tflite", "flatbuffers"):
        raise
    from axynq.emulator.file_formats.no_tflite import save_model

if TYPE_CHECKING:
    from axynq.emulator.frameworks.float_files import load_float_network
    from axynq.emulator.frameworks.pytorch import from_torch, to_torch, write_back
    from axynq.emulator.quantisation.quantise import quantise

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
    "from_torch": "axynq.emulator.frameworks.pytorch",
    "load_float_network": "axynq.emulator.frameworks.float_files",
    "quantise": "axynq.emulator.quantisation.quantise",
    "to_torch": "axynq.emulator.frameworks.pytorch",
    "write_back": "axynq.emulator.frameworks.pytorch",
}
"""Where names are that only importing a network needs: boards have no such modules."""


def __getattr__(name: str) -> Any:
    if name not in _WHEN_ASKED:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_WHEN_ASKED[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_WHEN_ASKED})


__version__ = installed_version()

moved.install(__name__, moved.EMULATOR)
