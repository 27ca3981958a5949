# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""What this machine computes, for the emulated one to compare with: files in a folder."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from axynq.emulator import Emulator, Plan, load_model, multiplier
from axynq.emulator.model import graph
from axynq.emulator.reference import softmax
from axynq.host import compile_program
from axynq.host.overlay import Overlay, overlay_names
from axynq.host.selftest import golden
from axynq.host.selftest.networks import Random, random_inputs
from tests.arm.machine import SOURCE

IMAGES = {"digits_int8": 70, "resnet8_int8": 2, "resnet14_int8": 1, "allcnn_int8": 1}
"""Images by shipped network: 70 are more than a block of the native kernel."""

PLANS = ("exact", "flam=exact|roup:1,4|smapprox:3330", "roup:2,6+klms=1")

KERNEL_PLANS = (*PLANS, "smapprox:2222", "flam=roup:0,4|smapprox:1110")
"""Those and more for the native kernels: sums of looked-up halves, and many planes."""

SPECS = ("exact", "roup:0,4", "roup:1,4", "roup:2,6", "roup:0,3-1-0-2", "smapprox:1100",
         "smapprox:2222", "smapprox:3330")  # fmt: skip

C_FUNCTION = """
#include <stdint.h>
int16_t product(int8_t a, int8_t b) {
  char x = a, y = b;
  long wide = (long)x * y;
  return (int16_t)(wide & ~1L);
}
"""
"""A multiplier whose types differ from processor to processor."""

SOFTMAX_STEPS = (0.003, 0.05, 0.1, 0.37, 1.0, 2.5)
"""Scales of a softmax's input."""


def shipped(name: str) -> tuple[graph.Model, graph.Int8Array]:
    """A shipped network and inputs of it."""
    model = load_model(SOURCE / "models" / f"{name}.tflite")
    return model, random_inputs(model, IMAGES[name], Random(5))


def logits() -> graph.Int8Array:
    """Inputs of a softmax over four, ten and a thousand values, one behind the other."""
    return Random(11).randint(-128, 128, 4000).astype(np.int8)


def softmaxes() -> dict[str, graph.Int8Array]:
    """Softmaxes of many steps and lengths."""
    values = logits()
    return {
        f"{step} of {length}": softmax(step, 1.0, values.reshape(-1, length))
        for step in SOFTMAX_STEPS
        for length in (4, 10, 1000)
    }


def networks(engine: str, names: list[str], plans: tuple[str, ...]) -> dict[str, np.ndarray]:
    """Outputs and, of the first images, accumulators of shipped networks."""
    values: dict[str, np.ndarray] = {}
    for name in names:
        model, x = shipped(name)
        for plan in plans:
            emulator = Emulator(model, plan, engine)
            values[f"{name}, {plan}: output"] = emulator.run(x)
            for layer, (approximate, exact) in emulator.accumulators(x[:1]).items():
                values[f"{name}, {plan}: {layer}"] = np.stack([approximate, exact])
    return values


def codes() -> dict[str, np.ndarray]:
    """Codes of plans whose classes depend on the weights."""
    model, _ = shipped("digits_int8")
    return {
        f"{text}: {name}": layer.codes
        for text in ("klms=0.5", "klms=1", "klms=2", "klam-row=exact|roup:1,4+klms=1")
        for name, layer in Plan.parse(model, text).expand(model).items()
    }


def tables(folder: Path) -> dict[str, np.ndarray]:
    """Product tables; the last is of the C function in the folder."""
    values = {spec: multiplier(spec).table for spec in SPECS}
    return {**values, "C": multiplier(f"table:{folder / 'plain.c'}").table}


def programs(folder: Path) -> list[str]:
    """Programs of the self-test's networks and of a shipped one, for every overlay; their names."""
    names = []
    digits, _ = shipped("digits_int8")
    for overlay in map(Overlay.load, overlay_names()):
        first = overlay.banks[0][0].spec
        cases = [(case.model, case.plan) for case in golden.cases(overlay)] + [(digits, first)]
        for number, (model, plan) in enumerate(cases):
            name = f"{overlay.name}-{number}.axp"
            compile_program(model, plan, overlay).save(folder / name)
            names.append(name)
    return names


def write(folder: Path) -> None:
    """Write all of it."""
    made = folder / "programs"
    made.mkdir(parents=True, exist_ok=True)
    (folder / "plain.c").write_text(C_FUNCTION, encoding="utf-8")
    (folder / "programs.json").write_text(json.dumps(programs(made)), encoding="utf-8")
    model, _ = shipped("digits_int8")
    Plan.parse(model, PLANS[1]).save(folder / "plan.json")
    for name, values in {
        "softmax": softmaxes(),
        "networks": {
            **networks("auto", list(IMAGES), PLANS),
            **networks("auto", ["digits_int8"], KERNEL_PLANS),
        },
        "codes": codes(),
        "tables": tables(folder),
    }.items():
        np.savez(folder / f"{name}.npz", **values)
