# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""The command line, as a user types it."""

from __future__ import annotations

import importlib.util
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from axynq.emulator import Emulator, Plan
from axynq.emulator.datasets import handwritten_digits
from axynq.emulator.model import graph
from axynq.emulator.studies.comparison import Comparison
from axynq.emulator.toml import tables
from axynq.host import Program
from axynq.host.cli import demo, doctor
from tests.emulator.tflite_drawing import FLOAT32, Drawing


def json_of(result: tuple[int, str, str]) -> dict[str, Any]:
    code, out, err = result
    assert code == 0, err
    return json.loads(out)


def test_help(axynq) -> None:
    code, out, _ = axynq("--help")
    assert code == 0
    for command in ("demo", "multipliers", "inspect", "evaluate", "compile", "run", "build",
                    "deploy", "power", "selftest", "doctor"):  # fmt: skip
        assert command in out
        assert axynq(command, "--help")[0] == 0


# --- multipliers ---------------------------------------------------------------------------------


def test_multipliers_lists_families_and_errors(axynq) -> None:
    code, out, _ = axynq("multipliers")
    assert code == 0
    for text in ("exact", "roup:P,R", "smapprox:WXYZ", "table:FILE#NAME", "smapprox:2222", "16.56"):
        assert text in out


def test_multipliers_json(axynq) -> None:
    content = json_of(axynq("multipliers", "smapprox:1110", "roup:1,4", "--json"))
    assert set(content["families"]) == {"exact", "roup", "smapprox", "table"}
    first, second = content["multipliers"]
    assert round(first["mean_relative_error"], 1) == 4.0
    assert second["spec"] == "roup:1,4"
    for key in ("mean_error", "mean_absolute_error", "worst_case_error", "error_probability"):
        assert key in first


def test_multipliers_says_whether_a_table_is_signed_and_which_argument_is_which(
    axynq, tmp_path: Path
) -> None:
    path = tmp_path / "[a] b+c.c"
    path.write_text(
        "#include <stdint.h>\nuint16_t mul8s_T(uint8_t B, uint8_t A) {\n"
        "  return (int8_t)A * ((int8_t)B & ~1);\n}\n"
    )
    code, out, err = axynq("multipliers", f"table:{path}")
    assert code == 0, err
    told = (
        f"table:{path}: [a] b+c.c, mul8s_T(B, A): signed (by its products and its name), second "
        "argument is the activation (the one called A)"
    )
    assert "".join(told.split()) in "".join(out.split())  # lines end where a long path does
    content = json_of(axynq("multipliers", f"table:{path},activation=first", "--json"))
    assert "first argument is the activation (as given)" in content["multipliers"][0]["source"]
    code, _, err = axynq("multipliers", f"table:{path}#[/b]")
    assert code == 1
    assert "has no function 'uintN_t [/b](uintN_t a, uintN_t b)'" in " ".join(err.split())


def test_plans_of_tables_with_awkward_paths(axynq, digits_path: Path, tmp_path: Path) -> None:
    path = tmp_path / "a+b|c [/x] #1.npz"
    path.parent.mkdir()
    np.savez(path, t=np.outer(np.arange(256), np.arange(256) & ~1))
    for spec in (f"table:{path}#t", f'table:"{path}"#t'):
        content = json_of(
            axynq("inspect", digits_path, "--plan", f"flam=exact|{spec}+klms=1e+01", "--json")
        )
        assert spec in content["layers"][0]["weights_by_multiplier"]


def test_a_long_shorthand_is_no_file(axynq, digits_path: Path) -> None:
    plan = "flam=" + "|".join(["exact", "roup:1,4"] * 20)
    assert axynq("inspect", digits_path, "--plan", plan)[0] == 0


def test_multipliers_over_another_range(axynq) -> None:
    cell = json_of(axynq("multipliers", "smapprox:1000", "--range", "0:15", "--json"))
    assert round(cell["multipliers"][0]["mean_relative_error"], 1) == 7.2
    whole = json_of(axynq("multipliers", "roup:1,4", "--full", "--json"))
    assert whole["multipliers"][0]["mean_error"] == pytest.approx(0)


def test_multipliers_characterise(axynq, digits_path: Path, digits_data: Path, tmp_path) -> None:
    content = json_of(axynq("multipliers", "exact", "roup:2,6", "--characterise", "--json"))
    exact, roup = content["multipliers"]
    assert (exact["luts"], roup["luts"]) == (40, 19)
    assert exact["relative"]["network"]["zero_delay"] == 1
    assert roup["relative"]["uniform"]["unit_delay"] < 0.5
    code, out, _ = axynq(
        "multipliers", "roup:2,6", "--characterise", "--operands", digits_path,
        "--data", digits_data, "--output", tmp_path / "mine.json",
    )  # fmt: skip
    assert code == 0
    assert "network-stationary" in out
    shown = json_of(axynq("multipliers", "roup:2,6", "--energy", tmp_path / "mine.json", "--json"))
    assert 0.3 < shown["multipliers"][0]["relative_energy"] < 0.6


# --- rtl -----------------------------------------------------------------------------------------


def test_rtl_writes_files(axynq, tmp_path: Path) -> None:
    content = json_of(
        axynq("rtl", "roup:1,3", "exact|roup:1,4", "--output", tmp_path / "rtl", "--json")
    )
    assert content["multipliers"][0]["module"] == "roup_1_3"
    assert content["multipliers"][1]["LUT"] == 43
    assert sorted(content["files"]) == sorted(path.name for path in (tmp_path / "rtl").iterdir())
    description = json.loads((tmp_path / "rtl" / "axynq_roup_1_3.json").read_text())
    include = description["c_files"][0]["cflag"].removeprefix("-I")
    assert (tmp_path / "rtl" / include / "axynq" / "types.hpp").is_file()


def test_rtl_lists_what_ships(axynq) -> None:
    code, out, _ = axynq("rtl")
    assert code == 0
    assert "smapprox_2222_unsigned" in out


def test_rtl_of_a_table_is_one_error(axynq, tmp_path: Path) -> None:
    np.savez(tmp_path / "t.npz", y=np.outer(range(256), range(256)).astype(np.uint16))
    code, _, err = axynq("rtl", f"table:{tmp_path / 't.npz'}#y", "--output", tmp_path)
    assert code == 1
    assert "data without a circuit" in err


# --- evaluate and inspect ------------------------------------------------------------------------


def test_evaluate(axynq, digits_path: Path, digits: graph.Model, digits_data: Path) -> None:
    plan = "flam=exact|roup:1,4"
    content = json_of(
        axynq("evaluate", digits_path, "--data", digits_data, "--plan", plan, "--json")
    )
    test = handwritten_digits("test")
    predicted = Emulator(digits, plan).run(test.x[:40]).argmax(axis=1)
    assert content["accuracy"] == pytest.approx((predicted == test.y[:40]).mean())
    assert content["examples"] == 40
    low, high = content["accuracy_interval"]
    assert low < content["accuracy"] <= high
    assert "accuracy_loss" not in content
    assert 0.8 < content["relative_energy"] < 0.9
    assert content["energy_figures"] == "characterised"
    assert content["weights_by_multiplier"]["conv_0"] == {"exact": 72, "roup:1,4": 72}


def test_evaluate_prints_a_table(axynq, digits_path: Path, digits_data: Path) -> None:
    code, out, _ = axynq("evaluate", digits_path, "--data", digits_data)
    assert code == 0
    assert "accuracy" in out
    assert "100.0 %" in out  # energy of the exact plan


def test_evaluate_against_another(
    axynq, digits_path: Path, digits: graph.Model, digits_data: Path
) -> None:
    plan, other = "roup:2,8", "flam=exact|roup:2,6"
    arguments = ("evaluate", digits_path, "--data", digits_data, "--plan", plan)
    test = handwritten_digits("test")
    ours, theirs, exact = (
        Emulator(digits, text).run(test.x[:40]).argmax(axis=1) == test.y[:40]
        for text in (plan, other, "exact")
    )
    for options, right, named in (
        (("--against", digits_path, "--against-plan", other), theirs, other),
        (("--against-plan", other), theirs, other),
        (("--against", digits_path), exact, "exact"),
    ):
        content = json_of(axynq(*arguments, *options, "--json"))
        assert content["against"]["plan"] == named
        assert content["against"]["accuracy"] == right.mean()
        expected = Comparison.of(right, ours)
        assert content["accuracy"] == ours.mean()
        assert content["accuracy_loss"] == expected.loss
        assert tuple(content["accuracy_loss_interval"]) == expected.loss_interval()
        assert content["p_value"] == expected.p_value()
        assert content["right_on"]["only_model"] == expected.only_second
        assert sum(content["right_on"].values()) == 40
    code, out, _ = axynq(*arguments, "--against-plan", "exact")
    assert code == 0
    low, high = Comparison.of(exact, ours).loss_interval()
    assert f"{100 * low:.2f} to {100 * high:.2f}" in out
    assert "p-value" in out


def test_evaluate_with_a_plan_file(
    axynq, digits_path: Path, digits: graph.Model, digits_data: Path, tmp_path: Path
) -> None:
    Plan.parse(digits, "klms=1").save(tmp_path / "plan.json")
    arguments = ("evaluate", digits_path, "--data", digits_data, "--json", "--plan")
    from_file = json_of(axynq(*arguments, tmp_path / "plan.json"))
    from_text = json_of(axynq(*arguments, "klms=1"))
    assert from_file["accuracy"] == from_text["accuracy"]
    assert from_file["relative_energy"] == from_text["relative_energy"] < 1


def test_evaluate_part_of_the_data(axynq, digits_path: Path, digits_data: Path) -> None:
    content = json_of(axynq("evaluate", digits_path, "--data", digits_data, "--limit", 7, "--json"))
    assert content["examples"] == 7


@pytest.mark.slow
def test_evaluate_resnet8_on_cifar10(axynq, resnet8_path: Path, cifar10, tmp_path: Path) -> None:
    some = cifar10.evenly(500)
    np.savez(tmp_path / "images.npz", x=some.x, y=some.y)
    content = json_of(axynq("evaluate", resnet8_path, "--data", tmp_path / "images.npz", "--json"))
    assert content["accuracy"] > 0.7


def test_inspect_says_what_is_left_out_of_a_file(axynq, tmp_path: Path) -> None:
    d = Drawing()
    weights = d.constant(np.eye(4), [0.5], dtype=np.int8)
    y = d.tensor((1, 4))
    d.operator("FULLY_CONNECTED", [d.given((1, 4)), weights, -1], y, kind="FullyConnectedOptions")
    real = d.operator("DEQUANTIZE", [y], d.tensor((1, 4), None, FLOAT32), kind="DequantizeOptions")
    end = d.operator("SOFTMAX", [real], d.tensor((1, 4), None, FLOAT32), kind="SoftmaxOptions")
    (tmp_path / "m.tflite").write_bytes(d.content(end))
    code, _, err = axynq("inspect", str(tmp_path / "m.tflite"))
    assert code == 0, err
    assert "The end of the file is not int8 and is left out: SOFTMAX (1)." in err


def test_inspect(axynq, digits_path: Path) -> None:
    content = json_of(axynq("inspect", digits_path, "--plan", "klms=1", "--json"))
    assert content["multiplications"] == 346_432
    assert [layer["name"] for layer in content["layers"]][:2] == ["conv_0", "depthwise_1"]
    code, out, _ = axynq("inspect", digits_path)
    assert code == 0
    assert "346,432 multiplications" in out


def test_inspect_on_an_overlay(axynq, digits_path: Path, tmp_path: Path) -> None:
    picture = tmp_path / "roofline.png"
    arguments = ("inspect", digits_path, "--overlay", "z2-roup16", "--batch", 4)
    content = json_of(axynq(*arguments, "--json", "--roofline", picture))
    assert content["cycles_per_image"] == content["cycles"] / 4
    assert content["cycles"] == sum(step["cycles"] for step in content["steps"])
    assert picture.read_bytes().startswith(b"\x89PNG")
    code, out, _ = axynq(*arguments)
    assert code == 0
    assert f"{content['cycles_per_image']:,.0f} cycles an image" in out


def test_engines_agree(axynq, digits_path: Path, digits_data: Path) -> None:
    arguments = ("evaluate", digits_path, "--data", digits_data, "--plan", "roup:2,6", "--json")
    fast = json_of(axynq(*arguments, "--threads", 1))
    portable = json_of(axynq(*arguments, "--engine", "portable"))
    assert (fast["threads"], portable["engine"]) == (1, "portable")
    assert fast["accuracy"] == portable["accuracy"]


def test_engines_in_pytorch(axynq, digits_path: Path, digits_data: Path) -> None:
    torch = pytest.importorskip("torch")
    arguments = ("evaluate", digits_path, "--data", digits_data, "--plan", "flam=exact|roup:2,6")
    found = json_of(axynq(*arguments, "--json", "--engine", "torch"))
    assert found["engine"] == "torch"
    assert found["accuracy"] == json_of(axynq(*arguments, "--json"))["accuracy"]
    if not torch.cuda.is_available():
        code, _, err = axynq(*arguments, "--engine", "cuda")
        assert code == 1
        assert "engine 'cuda' needs a CUDA GPU, and PyTorch sees none here" in " ".join(err.split())


def test_doctor(axynq, monkeypatch) -> None:
    content = json_of(axynq("doctor", "--json"))
    states = {finding["what"]: finding["state"] for finding in content["findings"]}
    assert states["engine used"] == "ok"
    assert states["pynq"] == ("ok" if importlib.util.find_spec("pynq") else "absent")
    assert states["board"] == "absent"
    assert states["engine cuda"] in ("ok", "absent")
    code, out, _ = axynq("doctor")
    assert code == 0
    assert "engine portable" in out
    monkeypatch.setattr(doctor, "PACKAGES", {"no-such-package": "pip install axynq[none]"})
    assert "pip install axynq[none]" in axynq("doctor")[1]  # not taken for markup


def test_doctor_names_every_package_that_users_may_lack() -> None:
    """Those of the extras, but for what the documentation and the tests are made with."""
    text = (Path(__file__).parents[2] / "pyproject.toml").read_text()
    extras = tables(text)["project"]["optional-dependencies"]
    makers = {"demo", "dev", "docs", "fuzz", "notebooks"}
    wanted = {
        re.match(r"[\w-]+", requirement)[0]
        for extra in extras.keys() - makers
        for requirement in extras[extra]
    }
    assert wanted - {"triton", "dask"} <= doctor.PACKAGES.keys()  # torch and distributed bring them
    for name, purpose in doctor.PACKAGES.items():
        for extra in re.findall(r"axynq\[(\w+)\]", purpose):
            assert any(name in requirement for requirement in extras[extra]), name


# --- compile and run -----------------------------------------------------------------------------


def test_compile_and_run(
    axynq, digits_path: Path, digits: graph.Model, digits_data: Path, tmp_path: Path
) -> None:
    path = tmp_path / "digits.axp"
    plan = "flam=exact|roup:1,4"
    compiled = json_of(
        axynq("compile", digits_path, "--overlay", "tiny4", "--plan", plan, "--output", path,
              "--json")
    )  # fmt: skip
    assert compiled["overlay"] == "tiny4"
    assert Program.load(path).model == "digits_int8"
    ran = json_of(
        axynq("run", path, "--data", digits_data, "--device", "software",
              "--output", tmp_path / "y.npy", "--json")
    )  # fmt: skip
    expected = Emulator(digits, plan).run(handwritten_digits("test").x[:40])
    assert np.array_equal(np.load(tmp_path / "y.npy"), expected)
    assert ran["examples"] == 40
    code, out, _ = axynq("run", path, "--data", digits_data, "--device", "software", "--limit", 5)
    assert code == 0
    assert "accuracy" in out


@pytest.mark.slow
@pytest.mark.parametrize("examples", [60, pytest.param(360, marks=pytest.mark.thorough)])
def test_demo(axynq, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, examples: int) -> None:
    some = handwritten_digits("test").evenly(examples)
    monkeypatch.setattr(demo, "handwritten_digits", lambda split: some)
    content = json_of(axynq("demo", "--output", tmp_path / "demo.png", "--json"))
    assert content["examples"] == examples
    exact, roup, mixed = content["plans"]
    for plan in content["plans"]:
        assert plan["outputs_that_differ"] == 0
        assert plan["accuracy"] > 0.9
    assert exact["relative_energy"] == 1.0
    assert roup["relative_energy"] < 1.0
    assert mixed["plan"].startswith("flam=")
    with Image.open(tmp_path / "demo.png") as picture:
        assert picture.size[0] > 500


# --- errors --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("evaluate", "nowhere.tflite", "--data", "DATA"), "cannot be read: No such file"),
        (("evaluate", "MODEL", "--data", "nowhere"), "does not exist"),
        (("evaluate", "MODEL", "--data", "EMPTY"), "no images in class-named folders"),
        (("evaluate", "MODEL", "--data", "DATA", "--plan", "llam=nothing"), "unknown multiplier"),
        (("evaluate", "MODEL", "--data", "DATA", "--plan", "nowhere.json"), "cannot be read"),
        (("compile", "MODEL", "--overlay", "z80"), "unknown overlay 'z80'"),
        (("compile", "MODEL", "--overlay", "tiny4", "--plan", "roup:3,8"), "does not have"),
        (("compile", "MODEL", "--overlay", "tiny4", "--output", "/no/x.axp"), "cannot be written"),
        (("run", "nowhere.axp", "--data", "DATA"), "cannot be read"),
        (("run", "MODEL", "--data", "DATA"), "is not a compiled program"),
        (("run", "PROGRAM", "--data", "DATA"), "not a PYNQ board"),
        (("run", "PROGRAM", "--data", "LABELS", "--device", "software"), "labels run from 0 to 77"),
        (("multipliers", "roup:1"), "is not of the form"),
        (("inspect", "BROKEN"), "damaged or truncated"),
    ],
)
def test_errors_are_one_line(
    axynq, tmp_path: Path, digits_path: Path, digits_data: Path, arguments, reason: str
) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "broken.tflite").write_bytes(digits_path.read_bytes()[:9000])
    np.savez(tmp_path / "labels.npz", x=np.zeros((2, 8, 8, 1), np.float32), y=np.array([0, 77]))
    program = tmp_path / "p.axp"
    if "PROGRAM" in arguments:
        assert axynq("compile", digits_path, "--overlay", "tiny4", "--output", program)[0] == 0
    names = {
        "MODEL": digits_path,
        "DATA": digits_data,
        "EMPTY": tmp_path / "empty",
        "BROKEN": tmp_path / "broken.tflite",
        "LABELS": tmp_path / "labels.npz",
        "PROGRAM": program,
    }
    code, out, err = axynq(*(names.get(a, a) for a in arguments))
    assert code == 1
    assert out == ""
    assert err.startswith("error: ")
    assert reason in " ".join(err.split())
    assert "Traceback" not in err
