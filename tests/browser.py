"""A headless browser, where one is installed. Playwright has none of its own here."""

from __future__ import annotations

import importlib.util
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")

QUIET = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
    "--disable-background-networking", "--disable-component-update",
)  # fmt: skip
"""Nothing is asked of anybody that the page does not ask for."""


def find_browser() -> str | None:
    """The path of a browser of the Chromium family, or None."""
    return next(filter(None, map(shutil.which, NAMES)), None)


@contextmanager
def browser() -> Iterator[Browser]:
    """A headless browser. Without one, or without playwright, the test is skipped."""
    if importlib.util.find_spec("playwright") is None:
        pytest.skip("playwright is not installed")
    path = find_browser()
    if path is None:
        pytest.skip(f"no browser is installed: {', '.join(NAMES)}")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=path, args=list(QUIET))
        try:
            yield opened
        finally:
            opened.close()
