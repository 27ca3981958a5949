# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""Examples and benchmarks begin: they load what they need and print their help.

What they compute takes minutes to hours; the parts they are made of have tests of their own.
"""

from __future__ import annotations

import re
import runpy
import sys
from pathlib import Path

import pytest

from tests.docs.documents import ROOT


def sources(folder: str, pattern: str) -> list[Path]:
    """Files of the repository, without what running notebooks left in ``build/``."""
    found = (ROOT / folder).rglob(pattern)
    return [path for path in found if "build" not in path.relative_to(ROOT).parts]


SCRIPTS = sorted(
    path
    for folder in ("examples", "benchmarks")
    for path in sources(folder, "*.py")
    if "__name__" in path.read_text(encoding="utf-8")
)


def name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@pytest.fixture
def beside(monkeypatch: pytest.MonkeyPatch):
    """Modules that lie beside a script are loaded for it alone."""
    before = set(sys.modules)
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield
    folders = (ROOT / "examples", ROOT / "benchmarks")
    for module in set(sys.modules) - before:
        file = getattr(sys.modules[module], "__file__", None)
        if file and any(Path(file).is_relative_to(folder) for folder in folders):
            del sys.modules[module]


@pytest.mark.usefixtures("beside")
@pytest.mark.parametrize("path", SCRIPTS, ids=name)
def test_scripts_print_their_help(
    path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    sys.path.insert(0, str(path.parent))
    monkeypatch.setattr(sys, "argv", [str(path), "--help"])
    monkeypatch.setenv("TERM", "dumb")
    with pytest.raises(SystemExit) as end:
        runpy.run_path(str(path), run_name="__main__")
    assert end.value.code == 0
    assert "usage" in capsys.readouterr().out.lower()


def test_commands_of_shell_scripts_parse() -> None:
    from tests.docs.test_commands import parse

    for path in sources("examples", "*.sh"):
        text = path.read_text(encoding="utf-8").replace("\\\n", " ")
        options = r"(?:explore|match).*"
        found = re.findall(rf"^ *axynq ({options})$", text, re.MULTILINE)
        assert found, name(path)
        calls = re.findall(r"^search (\S+)(.*)$", text, re.MULTILINE)
        for line in found:
            for called, more in calls:
                line = line.replace('"$@"', more).replace("$name", called)
                parse("axynq " + re.sub(r'"\$\{\w+:-(\w+)\}"', r"\1", line))
