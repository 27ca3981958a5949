# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""The names of the top function's arguments, which become ports and registers."""

from __future__ import annotations

import re

import pytest

from axynq.host.overlay.registers import ARGUMENTS, TOP_FUNCTION
from tests.host import keywords


@pytest.mark.parametrize("name", [TOP_FUNCTION, *(argument.name for argument in ARGUMENTS)])
def test_no_argument_is_renamed_by_vitis_hls(name: str) -> None:
    assert re.fullmatch(r"[a-z]+", name)  # the same in Verilog, VHDL, Tcl and IP-XACT
    assert name not in keywords.SYSTEM_VERILOG
    assert name not in keywords.VHDL


def test_the_lists_of_keywords_can_refuse() -> None:
    assert len(keywords.SYSTEM_VERILOG) == 248  # as many as the standard's annex has
    assert "program" in keywords.SYSTEM_VERILOG
    assert "register" in keywords.VHDL
