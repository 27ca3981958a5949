# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""Each instruction set of the kernel against plain C++, a function at a time; ARM's under qemu."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from axynq.emulator.engine import kernel
from axynq.emulator.engine.kernel import VARIANTS, Variant, supported_variants
from axynq.emulator.toolchain import compiler
from tests.arm.machine import ARCHITECTURES, emulator, missing

NATIVE = Path(kernel.__file__).parent / "native"
DRIVER = Path(__file__).parent / "instructions.cpp"

PROCESSORS = {
    "neon32": ("armhf", "cortex-a9"),
    "neon": ("arm64", "cortex-a53"),
    "neondot": ("arm64", "neoverse-n1"),
    "neoni8mm": ("arm64", "max"),
}
"""Architecture and processor that is emulated, by variant."""

WITH_TILES = ("amx",)
"""Their own functions are tiles; others are another variant's. Networks check them."""


def command(variant: Variant) -> tuple[list[str], list[str]]:
    """The compiler with its arguments, and what runs a program."""
    if variant in supported_variants():
        return compiler(), []
    if variant.name not in PROCESSORS:
        pytest.skip(f"this processor lacks {', '.join(sorted(variant.needs))}")
    name, processor = PROCESSORS[variant.name]
    architecture = ARCHITECTURES[name]
    lacking = missing(architecture)
    if lacking:
        pytest.skip(f"programs for {name} need {lacking}")
    qemu = emulator(architecture)
    assert qemu is not None
    return [f"{architecture.triplet}-g++", "-static"], [qemu, "-cpu", processor]


def outcome(variant: Variant, native: Path, folder: Path) -> list[str]:
    """What the driver prints, for headers in a folder."""
    compile_, run = command(variant)
    program = folder / variant.name
    subprocess.run(
        [
            # Functions are compared here; networks run on the kernel as users compile it.
            *(*compile_, *kernel.FLAGS, "-O1", *variant.flags),
            f"-DAXYNQ_INSTRUCTIONS={variant.name}",
            *(f"-I{native}", str(DRIVER), "-o", str(program)),
        ],
        check=True,
    )
    done = subprocess.run([*run, str(program)], capture_output=True, text=True, check=False)
    return done.stdout.splitlines()


@pytest.mark.slow
@pytest.mark.parametrize("name", [v.name for v in VARIANTS if v.name not in WITH_TILES])
def test_an_instruction_set_equals_plain_code(name: str, tmp_path: Path) -> None:
    (variant,) = (v for v in VARIANTS if v.name == name)
    assert outcome(variant, NATIVE, tmp_path) == ["equal"]


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("name", "right", "wrong", "found"),
    [
        ("avx2", "_mm256_adds_epi16", "_mm256_add_epi16", "requantise"),
        ("avx2", "_mm256_slli_epi16(odd[p][v], 8)", "_mm256_slli_epi16(odd[p][v], 7)", "look_up"),
        ("neon", "any_lowest |= one == -128", "any_lowest |= one == 127", "dot_products"),
        ("neon", "vqrdmulhq_s32(v", "vqdmulhq_s32(v", "requantise"),
        ("neon", "vshrq_n_u8(index, 4)", "vshrq_n_u8(index, 3)", "map_planes"),
        ("neondot", "vdupq_n_u8(0x80)", "vdupq_n_u8(0)", "dot_products"),
    ],
)
def test_the_driver_finds(name: str, right: str, wrong: str, found: str, tmp_path: Path) -> None:
    shutil.copytree(NATIVE, tmp_path / "native")
    header = tmp_path / "native" / f"{name}.hpp"
    text = header.read_text()
    assert right in text
    header.write_text(text.replace(right, wrong))
    (variant,) = (v for v in VARIANTS if v.name == name)
    assert any(found in line for line in outcome(variant, tmp_path / "native", tmp_path))


def test_every_set_for_arm_has_a_processor() -> None:
    arm = {v.name for v in VARIANTS if v.needs & {"asimd", "neon"}}
    assert arm == set(PROCESSORS)
