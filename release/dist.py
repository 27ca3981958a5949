# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""Source distribution and wheel: the same bytes wherever and whenever they are built.

``make dist`` runs this. Both are made of a copy of the files that git knows (all files, where there
is no git), with usual permissions. Times are those of the last commit, or ``SOURCE_DATE_EPOCH``.
The wheel is built of the source distribution, so whoever builds that has the same wheel, given the
same setuptools and zlib.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import io
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]

NO_SOURCES = (".*", "build", "dist", "*.egg-info", "__pycache__", "site")
"""What is left out where git does not say which files are sources."""


def distributions(root: Path, output: Path) -> tuple[Path, Path]:
    """Build the source distribution and the wheel of a source tree.

    Args:
        root: the tree.
        output: a folder for both, which is made.

    Raises:
        subprocess.CalledProcessError: the build failed; its output was printed.
    """
    epoch = os.environ.get("SOURCE_DATE_EPOCH") or str(_last_change(root))
    output.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="axynq-dist-") as folder:
        sources = Path(folder, "sources")
        copy_sources(root, sources)
        _build("sdist", sources, Path(folder), epoch)
        (made,) = Path(folder).glob("*.tar.gz")
        content = normalised(made, int(epoch))
        with tarfile.open(fileobj=io.BytesIO(content)) as archive:
            archive.extractall(Path(folder, "unpacked"), filter="data")
        (unpacked,) = Path(folder, "unpacked").iterdir()
        _build("wheel", unpacked, Path(folder), epoch)
        (wheel,) = Path(folder).glob("*.whl")
        source = output / made.name
        source.write_bytes(content)
        shutil.copyfile(wheel, output / wheel.name)
    return source, output / wheel.name


def copy_sources(root: Path, target: Path) -> None:
    """Copy a tree's sources: what git knows, or all but caches and builds."""
    if (root / ".git").exists():
        listed = subprocess.run(
            ["git", "ls-files", "-z"], cwd=root, check=True, capture_output=True, text=True
        )
        names = [name for name in listed.stdout.split("\0") if name]
    else:
        left_out = shutil.ignore_patterns(*NO_SOURCES)
        names = []
        for folder, folders, files in os.walk(root):
            ignored = left_out(folder, [*folders, *files])
            folders[:] = [name for name in folders if name not in ignored]
            names += [
                str(Path(folder, name).relative_to(root)) for name in files if name not in ignored
            ]
    for name in sorted(names):
        path = root / name
        if path.is_file():  # not one that is deleted, but not committed
            copy = target / name
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, copy)
            copy.chmod(0o755 if path.stat().st_mode & 0o100 else 0o644)


def normalised(path: Path, epoch: int) -> bytes:
    """A ``.tar.gz`` without what differs between machines: order, times and owners."""
    plain = io.BytesIO()
    with (
        tarfile.open(path) as old,
        tarfile.open(fileobj=plain, mode="w", format=tarfile.PAX_FORMAT) as new,
    ):
        for member in sorted(old.getmembers(), key=lambda member: member.name):
            kept = tarfile.TarInfo(member.name)
            kept.type, kept.size, kept.mtime = member.type, member.size, epoch
            kept.mode = 0o755 if member.mode & 0o100 else 0o644
            new.addfile(kept, old.extractfile(member) if member.isfile() else None)
    packed = io.BytesIO()
    with gzip.GzipFile("", "wb", 9, packed, mtime=epoch) as file:
        file.write(plain.getvalue())
    return packed.getvalue()


def _last_change(root: Path) -> int:
    """Of the last commit; without git, of the newest file."""
    if (root / ".git").exists():
        command = ["git", "log", "-1", "--format=%ct"]
        ran = subprocess.run(command, cwd=root, check=True, capture_output=True, text=True)
        return int(ran.stdout)
    return int(max(path.stat().st_mtime for path in root.iterdir() if path.is_file()))


def _build(kind: str, sources: Path, output: Path, epoch: str) -> None:
    """Run the build backend, with the setuptools of this environment."""
    command = [sys.executable, "-m", "build", f"--{kind}", "--no-isolation", "--outdir", output]
    environment = {**os.environ, "SOURCE_DATE_EPOCH": epoch}
    ran = subprocess.run(
        [*command, sources],
        env=environment,
        check=False,
        capture_output=True,
        text=True,
        umask=0o022,  # permissions are in both archives
    )
    if ran.returncode:
        print(ran.stdout[-4000:], ran.stderr[-4000:], file=sys.stderr)
        ran.check_returncode()


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m release.dist", description=__doc__)
    parser.add_argument("--output", type=Path, default=Path("dist"))
    output = parser.parse_args().output
    for path in distributions(ROOT, output):
        content = path.read_bytes()
        print(f"{hashlib.sha256(content).hexdigest()}  {path}  {len(content) / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
