# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""Where in the sources instructions come from."""

from __future__ import annotations

import re
from functools import cache

from axynq.host.synthesis.ir import Function, Instruction, Loop, Module


class Places:
    """Files and lines, from the metadata of a module."""

    def __init__(self, module: Module) -> None:
        self._metadata = module.metadata
        self._scope_file = cache(self._file_of)

    def of(self, i: Instruction) -> str:
        """File and line of an instruction; empty where unknown."""
        return self._told(i.place)

    def of_loop(self, function: Function, loop: Loop) -> str:
        """File and line of a loop."""
        for i in function.blocks[loop.header].instructions:
            if told := self._told(i.place):
                return told
        return loop.header

    def _told(self, number: int) -> str:
        text = self._metadata.get(number, "")
        line = re.search(r"line: (\d+)", text)
        scope = re.search(r"scope: !(\d+)", text)
        if line is None or scope is None:
            return ""
        file = self._scope_file(int(scope[1]))
        outer = re.search(r"inlinedAt: !(\d+)", text)
        if file.endswith(".h") and outer is not None:  # a number type's own code
            return self._told(int(outer[1]))
        return f"{file}:{line[1]}" if line[1] != "0" else ""

    def _file_of(self, scope: int) -> str:
        text = self._metadata.get(scope, "")
        file = re.search(r"file: !(\d+)", text)
        if file is not None:
            name = re.search(r'filename: "([^"]*)"', self._metadata.get(int(file[1]), ""))
            return re.split(r"[\\/]", name[1])[-1] if name is not None else ""
        outer = re.search(r"scope: !(\d+)", text)
        return self._file_of(int(outer[1])) if outer is not None else ""
