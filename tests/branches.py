# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""How many of the branches of each package the tests reach: the end of ``make coverage``.

``coverage report`` counts lines and branches together, which is always more.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[1]
PACKAGES = ("emulator", "host", "hls4ml_extension")
WORST = 15


class Reached(NamedTuple):
    branches: int
    of: int

    @property
    def percent(self) -> float:
        return 100 * self.branches / self.of if self.of else 100.0


def measured() -> dict[str, Reached]:
    """Of every source file, by its path in the repository; copies of it elsewhere are left out."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder, "coverage.json")
        included = ",".join(str(ROOT / package / "*") for package in PACKAGES)
        command = [sys.executable, "-m", "coverage", "json", "--quiet", "-o", str(report)]
        subprocess.run([*command, f"--include={included}"], cwd=ROOT, check=True)
        files = json.loads(report.read_text())["files"]
    return {
        (ROOT / path).relative_to(ROOT).as_posix(): Reached(
            file["summary"]["covered_branches"], file["summary"]["num_branches"]
        )
        for path, file in files.items()
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("least", type=float, help="percent that each package must reach")
    least = parser.parse_args().least
    files = measured()
    print("Branches that no test reaches, by file:")
    worst = sorted(files.items(), key=lambda file: file[1].branches - file[1].of)[:WORST]
    for path, reached in worst:
        print(f"{reached.of - reached.branches:5} of {reached.of:4}  {path}")
    few = []
    for package in PACKAGES:
        own = [reached for path, reached in files.items() if path.startswith(f"{package}/")]
        whole = Reached(sum(r.branches for r in own), sum(r.of for r in own))
        print(f"{package}: {whole.branches} of {whole.of} branches, {whole.percent:.1f} %")
        if whole.percent < least:
            few.append(package)
    if few:
        sys.exit(f"below {least:g} %: {', '.join(few)}")


if __name__ == "__main__":
    main()
