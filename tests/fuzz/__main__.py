# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""Coverage-guided fuzzing by atheris: ``python -m tests.fuzz [NAME]... [--inputs N]``.

Each reader runs in a process of its own, with a limit for memory and one for the time an input may
take. What ends otherwise than by returning or by an ``AxynqError`` is kept in ``build/fuzz/NAME``,
one input for each place where it arises; mended, it belongs into ``tests/fuzz/found/NAME``. Needs
the extra ``fuzz``.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
import os
import re
import subprocess
import sys
import tempfile
import time
import traceback
import warnings
from pathlib import Path
from typing import Any

BUILD = Path(__file__).parents[2] / "build" / "fuzz"

INSTRUMENTED = ("axynq", "tomllib", "tflite", "flatbuffers", "csv", "zipfile", "tarfile")

SECONDS = 60
"""An input that takes longer hangs: a busy machine is slow."""

MEGABYTES = 2048


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help="readers; default: all")
    parser.add_argument("--inputs", type=int, default=20_000, help="for each reader")
    parser.add_argument("--seconds", type=int, default=0, help="for each reader at most; 0: any")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.inside:
        _fuzz(options.names[0], options)
        return 0
    # The harnesses are imported in the processes below, where they are instrumented.
    names = options.names or _names()
    ended = [_run(name, options) for name in names]
    print(f"{sum(each['inputs'] for each in ended)} inputs")
    return int(any(each["faults"] for each in ended))


def _names() -> list[str]:
    from tests.fuzz.harnesses import HARNESSES

    return list(HARNESSES)


def _run(name: str, options: argparse.Namespace) -> dict[str, Any]:
    """A reader in a process of its own; what it says at last, printed and kept."""
    folder = BUILD / name
    folder.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "tests.fuzz", name, "--inside", "--inputs",
               str(options.inputs), "--seconds", str(options.seconds), "--seed",
               str(options.seed)]  # fmt: skip
    begun = time.monotonic()
    with (folder / "log.txt").open("w+", encoding="utf-8", errors="replace") as log:
        code = subprocess.run(command, stdout=log, stderr=log, check=False).returncode
        log.seek(0)
        said = log.read()
    seconds = time.monotonic() - begun
    status = re.findall(r"#(\d+)\t.* cov: (\d+) ft: (\d+) corp: (\d+)", said)
    inputs, edges, features, corpus = map(int, status[-1]) if status else (0, 0, 0, 0)
    faults = sorted(path.name for path in folder.glob("fault-*") if path.suffix != ".txt")
    # Too slow, too large, or a crash of the interpreter; not an alarm that strikes while it ends.
    if code and not said.rstrip().endswith("second(s)"):
        faults.append(f"exit code {code}, see {folder / 'log.txt'}")
    result = {"inputs": inputs, "edges": edges, "features": features, "corpus": corpus,
              "seconds": round(seconds), "faults": faults}  # fmt: skip
    with (BUILD / "results.jsonl").open("a", encoding="utf-8") as file:
        file.write(json.dumps({"reader": name, "seed": options.seed, **result}) + "\n")
    rate = inputs / seconds
    print(f"{name:16} {inputs:9} inputs  {rate:6.0f}/s  {edges:6} edges  {corpus:5} kept  "
          f"{len(faults)} faults {' '.join(faults)}", flush=True)  # fmt: skip
    return result


def _fuzz(name: str, options: argparse.Namespace) -> None:
    import atheris

    os.environ["AXYNQ_CACHE"] = tempfile.mkdtemp(prefix="axynq-fuzz-cache-")
    memory = Path("/dev/shm")
    work = Path(tempfile.mkdtemp(prefix="axynq-fuzz-", dir=memory if memory.is_dir() else None))
    with atheris.instrument_imports(include=list(INSTRUMENTED)):
        from axynq.emulator.errors import AxynqError
        from tests.fuzz.harnesses import FOUND, HARNESSES, mutated

        warnings.simplefilter("ignore")
        harness = HARNESSES[name]
        seeds = list(harness.seeds())
        path = work / harness.name
        for content in seeds:  # much is imported only when it is needed
            path.write_bytes(content)
            with contextlib.suppress(AxynqError):
                harness.load(path)
    folder = BUILD / name
    corpus = folder / "corpus"
    corpus.mkdir(parents=True, exist_ok=True)
    seeds += [found.read_bytes() for found in sorted((FOUND / name).glob("*"))]
    for content in seeds:
        (corpus / hashlib.sha1(content).hexdigest()).write_bytes(content)
    words = folder / "dictionary"
    words.write_text("".join(f'"{_escaped(word)}"\n' for word in harness.dictionary))
    os.chdir(work)
    known: set[str] = set()

    def one(content: bytes) -> None:
        path.write_bytes(content)
        try:
            harness.load(path)
        except AxynqError:
            pass
        except Exception as error:  # this is what is looked for
            _keep(error, content, folder, known)

    def mutate(content: bytes, most: int, seed: int) -> bytes:
        # Much of what pydantic, Pillow and numpy do is not seen: from sound files again and again.
        if seed % 3 == 0:
            return mutated(harness, seeds[seed // 3 % len(seeds)], seed)[:most]
        if seed % 3 == 1:
            return mutated(harness, content, seed)[:most]
        changed: bytes = atheris.Mutate(content, most)
        return changed

    most = 4096 + 2 * max(map(len, seeds))
    arguments = [sys.argv[0], str(corpus), f"-atheris_runs={options.inputs}",
                 f"-rss_limit_mb={MEGABYTES}", f"-timeout={SECONDS}", f"-seed={options.seed}",
                 f"-artifact_prefix={folder}/", f"-max_len={most}", "-len_control=0",
                 "-report_slow_units=30", f"-max_total_time={options.seconds}"]  # fmt: skip
    if harness.dictionary:
        arguments.append(f"-dict={words}")
    atheris.Setup(arguments, one, custom_mutator=mutate)
    atheris.Fuzz()


def _escaped(word: str) -> str:
    return "".join(f"\\x{byte:02x}" for byte in word.encode())


def _keep(error: Exception, content: bytes, folder: Path, known: set[str]) -> None:
    """One input for each place where an error arises, with the traceback beside it."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if "site-packages" not in frame.filename][-1]
    last = frames[-1]
    place = f"{type(error).__name__}-{Path(own.filename).stem}-{own.lineno}-{last.lineno}"
    if place in known:
        return
    known.add(place)
    (folder / f"fault-{place}").write_bytes(content)
    (folder / f"fault-{place}.txt").write_text(
        "".join(traceback.format_exception(error)), encoding="utf-8", errors="replace"
    )


if __name__ == "__main__":
    sys.exit(main())
