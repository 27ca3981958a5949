"""Bit-exact software emulation of int8 CNNs with approximate multipliers.

>>> from axynq.emulator import Emulator, Plan, load_model
>>> model = load_model("model.tflite")
>>> plan = Plan.parse(model, "flam=exact|roup:1,4")
>>> output = Emulator(model, plan).run(images)
"""

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

__all__ = [
    "Accumulators",
    "AxynqError",
    "Emulator",
    "Multiplier",
    "Plan",
    "__version__",
    "load_model",
    "multiplier",
    "save_model",
]

__version__ = installed_version()

moved.install(__name__, moved.EMULATOR)
