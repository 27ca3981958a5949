# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""Finds the overlays that ship and come from the designer anew.

``python benchmarks/design/shipped.py [NAME…]`` in the source tree writes ``hls/overlays/NAME.toml``
and, with the figures that are expected of it, ``benchmarks/design/NAME.json``. ``make generate``
writes what follows from them. Minutes each; what was estimated before is kept.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import NamedTuple

from axynq.emulator import files, load_model
from axynq.emulator.plan import Plan
from axynq.host.design.designer import EXACT, Objective, Request, design
from axynq.host.design.limits import Limits
from axynq.host.design.report import content_of, figures_of, toml_of

ROOT = Path(__file__).parents[2]

HALVES = "flam=roup:2,6|exact"
"""Suits lanes in rounds: words of an output pixel are of one kind."""
SPREAD = "flam=" + "|".join(["roup:2,6|exact"] * 4)
"""Both kinds in every word of 16 channels."""


class Design(NamedTuple):
    """What is asked for."""

    board: str
    plan: str
    objective: Objective = "throughput"
    exact_beside: str | None = None
    """The name for the best exact array, if that ships too."""


DESIGNS = {
    "z2-hybrid": Design("pynq-z2", SPREAD, exact_beside="z2-exact-dsp"),
    "z2-hybrid-latency": Design("pynq-z2", HALVES, "latency"),
    "ultra96-hybrid": Design("ultra96-v2", SPREAD),
    "kv260-hybrid": Design("kv260", SPREAD),
    "zcu104-hybrid": Design("zcu104", SPREAD),
}
MODEL = ROOT / "models" / "resnet8_int8.tflite"


def make(name: str, asked: Design, seconds: float) -> None:
    """Search, and write the files of an overlay."""
    model = load_model(MODEL)
    request = Request(
        model, Plan.parse(model, asked.plan), asked.board, asked.objective, 16, Limits(), (), True,
        asked.exact_beside is not None, seconds, None, None, None,
    )  # fmt: skip
    made = design(request, lambda what, done, of: None)
    chosen = {name: made.chosen}
    if asked.exact_beside is not None:
        chosen[asked.exact_beside] = made.best[EXACT]
    for each, figures in chosen.items():
        found = figures.found
        overlay = found.choice.overlay(each, asked.board, found.clock_mhz)
        path = ROOT / "hls" / "overlays" / f"{each}.toml"
        files.write_text(path, toml_of(request, figures, overlay))
        content = content_of(made) | {
            "overlay": each,
            "overlay_hash": overlay.hash,
            "plan": asked.plan if each == name else "exact",
            "figures": figures_of(figures),
        }
        text = json.dumps(content, indent=1, allow_nan=False) + "\n"
        files.write_text(ROOT / "benchmarks" / "design" / f"{each}.json", text)
        print(each, json.dumps(content["figures"]))


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(DESIGNS)}")
    parser.add_argument("--seconds", type=float, default=600.0, help="for the search of each")
    arguments = parser.parse_args()
    unknown = set(arguments.names) - set(DESIGNS)
    if unknown:
        parser.error(f"unknown: {', '.join(sorted(unknown))}")
    for name in arguments.names or DESIGNS:
        make(name, DESIGNS[name], arguments.seconds)


if __name__ == "__main__":
    main()
