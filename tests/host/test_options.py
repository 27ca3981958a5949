# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""Options of all commands: help texts, choices, defaults, and the version."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterator
from enum import Enum
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

import pytest

import axynq.emulator as axynq_emulator
import axynq.host as axynq_host
from axynq.emulator import version as versions
from axynq.emulator.engine.choice import ENGINES
from axynq.host.cli import inputs, match, retrain, training
from axynq.host.cli.commands import ENTRIES
from tests.docs.test_commands import parse

COMMANDS: dict[str, Callable[..., None]] = {
    name: entry.function() for name, entry in ENTRIES.items()
}


def parameters(function: Callable[..., None]) -> Iterator[tuple[str, Any, Any, Any]]:
    """Name, type without ``Optional``, typer's description, and default of each parameter."""
    hints = get_type_hints(function, include_extras=True)
    for name, parameter in inspect.signature(function).parameters.items():
        hint, *described = get_args(hints[name])
        assert get_origin(hints[name]) is Annotated, name
        if get_origin(hint) is Union:
            (hint,) = [part for part in get_args(hint) if part is not type(None)]
        yield name, hint, described[0], parameter.default


def choices(hint: Any) -> tuple[str, ...]:
    """The words that an option takes; none where it takes others too."""
    if get_origin(hint) is Literal:
        return get_args(hint)
    if inspect.isclass(hint) and issubclass(hint, Enum):
        return tuple(member.value for member in hint)
    return ()


def flag(name: str, described: Any) -> str:
    given = [text for text in (described.param_decls or ()) if text.startswith("--")]
    return given[0] if given else "--" + name.rstrip("_").replace("_", "-")


def joined(text: str) -> str:
    """The text as one line; words that were divided at a hyphen are whole."""
    return " ".join(re.sub(r"-\n +", "-", text).split())


@pytest.mark.parametrize("command", COMMANDS)
def test_examples_parse_and_end_the_help(axynq, monkeypatch, command: str) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    _, out, _ = axynq(command, "--help")
    shown = out.partition("\nExamples:\n")[2]
    examples = ENTRIES[command].examples
    assert len(examples) >= (1 if command == "doctor" else 2)
    assert [line.strip() for line in shown.splitlines()] == [
        line.strip() for line in "\n".join(examples).splitlines()
    ]
    for example in examples:
        assert example.startswith(f"axynq {command}")
        assert max(map(len, example.splitlines())) <= 86
        parse(example.replace("\\\n", " "))


@pytest.mark.parametrize("command", COMMANDS)
def test_help_has_no_types_of_python_and_fits(axynq, monkeypatch, command: str) -> None:
    assert ENTRIES[command].summary == (COMMANDS[command].__doc__ or "").splitlines()[0]
    for width in (60, 80, 200):
        monkeypatch.setenv("COLUMNS", str(width))
        code, out, _ = axynq(command, "--help")
        assert code == 0
        text, _, _ = out.partition("\nExamples:\n")
        assert not re.search(r"<\w+|\b(PATH|TEXT|INTEGER|FLOAT)\b", text)
        assert max(map(len, text.splitlines())) <= min(width, 80)
        assert joined(text).endswith("--help Show this message and exit.")


@pytest.mark.parametrize("command", ["explore", "match", "retrain", "design", "power"])
def test_many_options_are_in_sections(axynq, command: str) -> None:
    _, out, _ = axynq(command, "--help")
    titles = re.findall(r"^(\S.*):$", out, re.MULTILINE)
    assert "Options" not in titles
    assert len(titles) >= 7
    assert titles[-3:] == ["Results", "Options of all commands", "Examples"]


# --- options of all commands ---------------------------------------------------------------------


@pytest.mark.parametrize("words", [("--quiet", "rtl", "exact"), ("rtl", "exact", "-q")])
def test_quiet_prints_results_alone(axynq, words: tuple[str, ...]) -> None:
    code, out, err = axynq(*words, "--output", "rtl", "--verbose")
    assert (code, out) == (2, "")
    assert "--quiet and --verbose exclude each other" in err
    code, out, err = axynq(*words, "--output", "rtl")
    assert (code, err) == (0, "")
    assert "exact" in out
    code, out, err = axynq("rtl", "gone", "-q")
    assert (code, out) == (1, "")
    assert err.startswith("error: ")


@pytest.mark.parametrize("position", ["before", "after"])
def test_verbose_tells_each_step(
    axynq, digits_path: Path, digits_data: Path, position: str
) -> None:
    words = ("evaluate", digits_path, "--data", digits_data)
    assert axynq(*words)[2] == ""
    code, _, err = axynq(*(("-v", *words) if position == "before" else (*words, "--verbose")))
    assert code == 0
    assert f"reading {digits_data} ...\n" in err
    assert "digits_int8, exact ...\n" in err


def test_verbose_shows_where_an_error_arose(axynq) -> None:
    code, _, err = axynq("rtl", "gone", "--verbose")
    assert code == 1
    assert "Traceback" in err
    assert err.splitlines()[-1].startswith("error: ")


RENAMED = [(c, old, new) for c, entry in ENTRIES.items() for old, new in entry.renamed.items()]


@pytest.mark.parametrize(("command", "old", "new"), RENAMED)
def test_former_names_of_options_work_and_are_not_shown(
    axynq, command: str, old: str, new: str
) -> None:
    _, out, _ = axynq(command, "--help")
    assert re.search(rf"{new} ", out)
    assert not re.search(rf"{old} ", out)
    required = REQUIRED.get(command, ("m.tflite", "--data", "x", "--output", "y"))
    value = "exact" if old == "--library" else 1
    for given in ((old, value), (f"{old}={value}",)):
        code, _, err = axynq(command, *required, *given)
        note, error = err.splitlines()
        assert note == (
            f"warning: {old} is called {new} now; the former name goes with version 0.3"
        )
        assert code == 1  # there is no such network
        assert error.startswith("error: ")


def test_every_output_has_a_short_name() -> None:
    for command, function in COMMANDS.items():
        for name, _, described, _ in parameters(function):
            if name == "output":
                assert "-o" in described.param_decls, command


@pytest.mark.parametrize("command", COMMANDS)
def test_help_stands_alone(axynq, monkeypatch, command: str) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    code, out, _ = axynq(command, "--help")
    assert code == 0
    for name, hint, described, default in parameters(COMMANDS[command]):
        text = described.help or ""
        assert len(text.split()) >= 3, f"{name}: {text!r}"
        assert text.endswith("."), f"{name}: {text!r}"
        words = choices(hint)
        assert all(re.search(rf"(?<![\w-]){word}(?![\w-])", joined(out)) for word in words), name
        if words and default is not None and default is not inspect.Parameter.empty:
            assert (default.value if isinstance(default, Enum) else default) in words, name


def test_the_list_of_commands_cuts_no_sentence(axynq, monkeypatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    code, out, _ = axynq("--help")
    assert code == 0
    assert "..." not in out.partition("Commands:")[2]
    assert all(f"\n  {command} " in out for command in COMMANDS)


CLOSED = [
    (command, flag(name, described), choices(hint))
    for command, function in COMMANDS.items()
    for name, hint, described, _ in parameters(function)
    if choices(hint)
]


def test_some_options_are_closed() -> None:
    found = {option for _, option, _ in CLOSED}
    assert found >= {
        *("--device", "--split", "--engine", "--weights", "--method", "--wait", "--optimiser"),
        *("--keep", "--calibration-split", "--search-split", "--meter-decimal", "--meter-unit"),
        "--meter-time-unit",
    }


REQUIRED = {
    "design": ("m.tflite", "--output", "y"),
    "run": ("p.axp", "--data", "x"),
    "power": ("p.axp",),
    "selftest": ("--overlay", "tiny4"),
    "deploy": ("m.tflite", "--data", "x", "--overlay", "tiny4", "--board", "b"),
    "tune": ("m.tflite", "--data", "x", "--plan", "exact", "--output", "y"),
    "evaluate": ("m.tflite", "--data", "x"),
    "sensitivity": ("m.tflite", "--data", "x"),
}


@pytest.mark.parametrize(("command", "option", "words"), CLOSED)
def test_a_wrong_choice_is_a_usage_error(axynq, command: str, option: str, words) -> None:
    required = REQUIRED.get(command, ("m.tflite", "--data", "x", "--output", "y"))
    code, out, err = axynq(command, *required, option, "luck")
    assert (code, out) == (2, "")
    listed = ", ".join(f"'{word}'" for word in words)
    assert err == (
        f"error: Invalid value for '{option}': 'luck' is not one of {listed} "
        f"(axynq {command} --help explains)\n"
    )


def test_a_wrong_level_is_a_usage_error(axynq) -> None:
    code, out, err = axynq("explore", "m", "--data", "x", "--output", "y", "--levels", "layer,bit")
    assert (code, out) == (2, "")
    assert "'bit' is not a level; there are: layer, filter, channel, row, column, mixed" in err


def test_choices_are_those_of_the_functions_behind() -> None:
    assert get_args(inputs.Engine) == ENGINES
    pytest.importorskip("torch")
    from axynq.emulator.studies.matching import PREDICTIONS
    from axynq.emulator.studies.retraining import options as recipe

    assert get_args(match.PredictionName) == PREDICTIONS
    assert get_args(training.MethodName) == get_args(recipe.MethodName)
    by_name = {name: choices(hint) for name, hint, _, _ in parameters(retrain.retrain_)}
    assert by_name["optimiser"] == recipe.OPTIMISERS
    assert by_name["keep"] == recipe.KEEP


# --- version -------------------------------------------------------------------------------------


def test_version(axynq) -> None:
    version = versions.source_version(Path(__file__).parents[2])
    assert version != versions.UNKNOWN
    assert axynq("--version") == (0, f"axynq {version}\n", "")
    assert axynq_emulator.__version__ == version
    assert axynq_host.__version__ == version


def test_version_of_sources(tmp_path: Path) -> None:
    assert versions.source_version(tmp_path) == versions.UNKNOWN
    (tmp_path / "pyproject.toml").write_text('[project]\nname = "other"\nversion = "3.4"\n')
    assert versions.source_version(tmp_path) == versions.UNKNOWN
    (tmp_path / "pyproject.toml").write_text('[project]\nname = "axynq"\nversion = "3.4"\n')
    assert versions.source_version(tmp_path) == "3.4"
