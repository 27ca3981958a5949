# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""A headless browser, for tests that look at pages."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")

ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
"""Nothing but the pages that are asked for."""


def find_browser() -> str | None:
    """The path of a Chromium, or None where there is none."""
    return next((path for path in map(shutil.which, NAMES) if path), None)


@contextmanager
def browser() -> Iterator[Any]:
    """A running browser (playwright's ``Browser``). The test is skipped where there is none."""
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    path = find_browser()
    if path is None:
        pytest.skip(f"there is no browser: none of {', '.join(NAMES)}")
    with tempfile.TemporaryDirectory() as home, sync_api.sync_playwright() as playwright:
        running = playwright.chromium.launch(
            executable_path=path, args=ARGUMENTS, env={"HOME": home}
        )
        try:
            yield running
        finally:
            running.close()
