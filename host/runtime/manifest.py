# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""What is known about a built bitstream: a JSON file beside it.

Needs no tools, so that a board can check what it is about to load.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, NonNegativeInt, ValidationError

from axynq.emulator import files
from axynq.emulator.errors import OverlayError
from axynq.emulator.validation import complaint
from axynq.host.overlay import Overlay


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Timing(_Strict):
    """Worst slacks after routing, in nanoseconds; positive where timing is met."""

    setup_slack_ns: float
    hold_slack_ns: float

    @property
    def met(self) -> bool:
        return min(self.setup_slack_ns, self.hold_slack_ns) >= 0


class Use(_Strict):
    """Of one kind of resource, after placement."""

    used: float
    """Block RAM counts in halves."""
    available: NonNegativeInt


class File(_Strict):
    """A file that belongs to the bitstream, in the same folder."""

    name: str
    sha256: str


class Manifest(_Strict):
    """Where a bitstream comes from and what it is for."""

    format: Literal["axynq-bitstream"] = "axynq-bitstream"
    version: Literal[1] = 1
    overlay: Overlay
    overlay_hash: str
    board: str
    part: str
    clock_mhz: float
    tools: dict[str, str]
    """Versions by tool."""
    timing: Timing
    utilisation: dict[str, Use]
    bit: File
    hwh: File
    golden: File | None
    """Test vectors of the overlay, as shipped with axynq when this was built."""
    axynq: str
    """The version it was built by."""
    built: str
    """Date and time, ISO 8601, UTC."""

    @classmethod
    def load(cls, path: Path) -> Manifest:
        """The manifest of that path.

        Raises:
            OverlayError: it cannot be read or is not valid.
        """
        try:
            return cls.model_validate_json(path.read_text(encoding="utf-8"))
        except OSError as error:
            raise OverlayError(f"manifest '{path}' cannot be read: {error.strerror}") from error
        except ValueError as error:
            reason = complaint(error) if isinstance(error, ValidationError) else str(error)
            raise OverlayError(f"manifest '{path}' is not valid: {reason}") from error

    def save(self, path: Path) -> None:
        """Write the manifest.

        Raises:
            OverlayError: it cannot be written.
        """
        try:
            files.write_text(path, self.model_dump_json(indent=1) + "\n")
        except OSError as error:
            raise OverlayError(f"manifest '{path}' cannot be written: {error.strerror}") from error

    def misfit(self, overlay: Overlay, folder: Path) -> str | None:
        """Why the files in ``folder`` are not a bitstream of ``overlay``, or None if they are."""
        if self.overlay_hash != overlay.hash or self.overlay.hash != overlay.hash:
            return (
                f"it was built from another description of '{overlay.name}' "
                f"({self.overlay_hash[:8]}, wanted {overlay.hash[:8]}): build it again"
            )
        board = overlay.board_description
        if (self.board, self.part) != (board.name, board.part):
            return f"it is for {self.board} ({self.part}), not {board.name} ({board.part})"
        for file in (self.bit, self.hwh):
            path = folder / file.name
            if not path.is_file():
                return f"{file.name} is missing"
            if sha256(path) != file.sha256:
                return f"{file.name} is not the file it was built with: copy or build it again"
        return None


def sha256(path: Path) -> str:
    """Of a file's content, in hex."""
    return hashlib.sha256(path.read_bytes()).hexdigest()
