"""Options of all commands: help texts, choices, defaults, and the version."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from enum import Enum
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

import pytest

import axynq.emulator as axynq_emulator
import axynq.host as axynq_host
from axynq.emulator import version as versions
from axynq.emulator.engine.choice import ENGINES
from axynq.host.cli import inputs, match, retrain
from axynq.host.cli.commands import app

COMMANDS: dict[str, Callable[..., None]] = {
    command.name: command.callback for command in app.registered_commands
}  # type: ignore[misc]


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


@pytest.mark.parametrize("command", COMMANDS)
def test_help_stands_alone(axynq, monkeypatch, command: str) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    code, out, _ = axynq(command, "--help")
    assert code == 0
    *_, title, example = out.strip().splitlines()
    assert title.strip() == "Example:"
    assert example.strip().startswith(f"axynq {command}")
    for name, hint, described, default in parameters(COMMANDS[command]):
        text = described.help or ""
        assert len(text.split()) >= 3, f"{name}: {text!r}"
        assert text.endswith("."), f"{name}: {text!r}"
        words = choices(hint)
        assert "|".join(words) in out, name
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
    assert get_args(retrain.MethodName) == get_args(recipe.MethodName)
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
