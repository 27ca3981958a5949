# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""What all benchmarks share: the machine, and timing side by side."""

from __future__ import annotations

import json
import os
import platform
import statistics
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from axynq.emulator import files


def machine() -> dict[str, Any]:
    """The machine and the versions a figure depends on."""
    from importlib.metadata import PackageNotFoundError, version

    versions = {}
    for package in ("axynq", "numpy", "torch", "ai-edge-litert"):
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            versions[package] = None
    return {
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)),
        "system": platform.platform(),
        "python": platform.python_version(),
        "versions": versions,
    }


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            family = _cpuinfo("cpu family"), _cpuinfo("model")
            return f"{line.partition(':')[2].strip()} (family {family[0]}, model {family[1]})"
    return platform.processor()


def _cpuinfo(key: str) -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    found = (line for line in lines if line.partition(":")[0].strip() == key)
    return next(found, ":?").partition(":")[2].strip()


def side_by_side(
    contenders: Mapping[str, Callable[[], Any]], rounds: int, report: Callable[[str], None] = print
) -> dict[str, dict[str, float]]:
    """Median and spread of the seconds each contender takes, in rounds in which all take turns."""
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    for name, run in contenders.items():
        run()  # warm up: caches, thread pools, first-use builds
        report(f"  ready: {name}")
    for _ in range(rounds):
        for name, run in contenders.items():
            started = time.perf_counter()
            run()
            seconds[name].append(time.perf_counter() - started)
    return {
        name: {
            "median": statistics.median(values),
            "best": min(values),
            "worst": max(values),
        }
        for name, values in seconds.items()
    }


def save(path: Path, content: dict[str, Any]) -> None:
    """Write a benchmark's figures."""
    path.parent.mkdir(parents=True, exist_ok=True)
    files.write_text(path, json.dumps(content, indent=1) + "\n")
    print(f"wrote {path}")
