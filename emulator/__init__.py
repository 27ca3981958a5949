"""Bit-exact software emulation of int8 CNNs with approximate multipliers.

>>> from axynq.emulator import Emulator, Plan, load_model
>>> model = load_model("model.tflite")
>>> plan = Plan.parse(model, "flam=exact|roup:1,4")
>>> output = Emulator(model, plan).run(images)
"""

from axynq.emulator.emulation import Accumulators, Emulator
from axynq.emulator.errors import AxynqError
from axynq.emulator.model.tflite_reader import load_model
from axynq.emulator.model.tflite_writer import save_model
from axynq.emulator.multipliers import Multiplier, multiplier
from axynq.emulator.plan import Plan

__all__ = [
    "Accumulators",
    "AxynqError",
    "Emulator",
    "Multiplier",
    "Plan",
    "load_model",
    "multiplier",
    "save_model",
]
