# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""Whether Vitis HLS has connected the netlists as their descriptions say.

C simulation does not see the instances, and synthesis says nothing about them. Known to happen: an
operand that the compiler finds constant is folded away, and the others move by one port (2023.2);
a port is connected that the module does not have (2024.1). Sources: see
:mod:`axynq.host.netlists.blackbox`.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from axynq.emulator.errors import ToolError

INSTANCE = r"\b{module}\s+(\w+)\s*\((.*?)\)\s*;"
CONNECTION = re.compile(r"\.(\w+)\s*\(\s*([^()\s][^()]*)\)")
CONSTANT = re.compile(r"\d*'")

ADVICE = "Build with --functors, or with another release of Vitis"


def check_instances(verilog: Sequence[Path], descriptions: Sequence[Path]) -> None:
    """Compare the instances of blackboxes with their descriptions.

    Args:
        verilog: what Vitis HLS wrote.
        descriptions: the blackboxes' JSON files.

    Raises:
        ToolError: a blackbox has no instance; or an instance lacks a port, has one too many, or
            has a constant operand.
    """
    texts = {path: path.read_text(encoding="utf-8") for path in verilog}
    for path in descriptions:
        description = json.loads(path.read_text(encoding="utf-8"))
        module = description["rtl_top_module_name"]
        pattern = re.compile(INSTANCE.format(module=module), re.DOTALL)
        found = [(file, *match) for file, text in texts.items() for match in pattern.findall(text)]
        if not found:
            raise ToolError(f"Vitis HLS has not used the netlist {module}. {ADVICE}")
        for file, instance, connections in found:
            fault = _fault(description, CONNECTION.findall(connections))
            if fault is not None:
                raise ToolError(
                    f"Vitis HLS has not connected the netlist {module} as it should: {fault}, "
                    f"in {instance} of {file}. {ADVICE}"
                )


def _fault(description: dict[str, Any], connections: list[tuple[str, str]]) -> str | None:
    """What is wrong with the connections, pairs of a port and a net, of an instance."""
    operands = {each["rtl_ports"]["data_read_in"] for each in description["c_parameters"]}
    result = description["c_return"]["rtl_ports"]["data_write_out"]
    common = {name for name in description["rtl_common_signal"].values() if name}
    ports = {*operands, result, *common}
    counts = Counter(port for port, _ in connections)
    for port in sorted(ports - set(counts)):
        return f"nothing is connected to {port}"
    for port, count in counts.items():
        if port not in ports:
            return f"there is no port {port}"
        if count > 1:
            return f"{port} is connected {count} times"
    for port, net in connections:
        if port in operands and CONSTANT.match(net):
            return f"{port} is the constant {net}"
    return None
