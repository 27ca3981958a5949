# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""What commands print with ``--json`` is as its published schema says."""

from __future__ import annotations

import ast
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from pydantic import ValidationError

from axynq.host.cli.commands import ENTRIES
from axynq.host.cli.schemas.documents import json_schema, path_of
from axynq.host.cli.schemas.registry import SCHEMAS

ROOT = Path(__file__).parents[2]


def printed_kinds() -> Iterator[str]:
    """The first argument of each call of ``print_json``."""
    for path in sorted((ROOT / "host" / "cli").glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "print_json":
                assert isinstance(node.args[0], ast.Constant), path
                yield node.args[0].value


def test_every_kind_has_a_schema_and_every_command_a_kind() -> None:
    assert sorted(printed_kinds()) == sorted(SCHEMAS)
    assert {kind.split("/")[1].partition("-")[0] for kind in SCHEMAS} == set(ENTRIES)


@pytest.mark.parametrize("kind", SCHEMAS)
def test_schemas_are_strict_and_valid(kind: str) -> None:
    schema = json.loads((ROOT / path_of(kind)).read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator.check_schema(schema)
    objects = [schema, *schema.get("$defs", {}).values()]
    assert all(each["additionalProperties"] is False for each in objects)
    assert schema["properties"]["schema"]["const"] == kind
    assert next(iter(schema["properties"])) == "schema"
    assert schema == json_schema(kind, SCHEMAS[kind])


COMMANDS = {
    "multipliers/1": ("multipliers", "exact", "roup:1,4"),
    "multipliers-characterise/1": ("multipliers", "--characterise", "exact"),
    "rtl/1": ("rtl", "roup:1,4", "dsp-pair:dsp48e1", "--output", "rtl"),
    "inspect/1": ("inspect", "{model}", "--overlay", "tiny4"),
    "inspect/1 without overlay": ("inspect", "{model}", "--plan", "flam=exact|roup:1,4"),
    "evaluate/1": ("evaluate", "{model}", "--data", "{data}"),
    "evaluate/1 against": ("evaluate", "{model}", "--data", "{data}", "--against-plan", "roup:2,6"),
    "sensitivity/1": ("sensitivity", "{model}", "--data", "{data}", "--limit", "4"),
    "tune/1": ("tune", "{model}", "--data", "{data}", "--plan", "roup:2,6", "--output", "t.tflite"),
    "noise/1": ("noise", "{model}", "--data", "{data}", "--limit", "4", "--output", "n.npz"),
    "compile/1": ("compile", "{model}", "--overlay", "tiny4", "--output", "p.axp"),
    "run/1": ("run", "{program}", "--data", "{data}", "--device", "software", "--limit", "2"),
    "power-estimate/1": ("power", "{program}", "--sensor", "estimate"),
}
"""Those that take little time. Tests of the other commands check what they print as well: the
fixture ``axynq`` does so whenever there is ``--json``."""


@pytest.mark.parametrize("case", COMMANDS)
def test_commands_print_what_is_published(
    axynq, case: str, digits_path: Path, digits_data: Path, tmp_path: Path
) -> None:
    kind = "axynq/" + case.split(" ")[0]
    words = COMMANDS[case]
    if "{program}" in words:
        axynq("compile", digits_path, "--overlay", "tiny4", "--output", "p.axp")
    words = tuple(
        word.format(model=digits_path, data=digits_data, program="p.axp") for word in words
    )
    code, out, _ = axynq(*words, "--json")
    assert code == 0
    content: dict[str, Any] = json.loads(out)
    assert next(iter(content)) == "schema"
    assert content["schema"] == kind
    schema = json.loads((ROOT / path_of(kind)).read_text(encoding="utf-8"))
    jsonschema.validate(content, schema)
    for wrong in (
        {**content, "more": 1},
        {key: value for key, value in content.items() if key != "schema"},
        {**content, "schema": kind + "0"},
    ):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(wrong, schema)
        with pytest.raises(ValidationError):
            SCHEMAS[kind].model_validate_json(json.dumps(wrong))


def test_an_error_prints_no_object(axynq, digits_path: Path) -> None:
    code, out, err = axynq("evaluate", digits_path, "--data", "gone.npz", "--json")
    assert (code, out) == (1, "")
    assert err.startswith("error: ")
    assert err.count("\n") == 1
