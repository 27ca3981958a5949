# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""Pages load nothing from elsewhere: the theme's script for search in files is one of our own."""

from __future__ import annotations

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.pages import Page
from mkdocs.utils import get_relative_url

ELSEWHERE = "https://unpkg.com/iframe-worker/shim"
OWN = "javascripts/worker.js"


def on_post_page(output: str, page: Page, config: MkDocsConfig) -> str:
    """Replace the script's address in the finished page."""
    return output.replace(ELSEWHERE, get_relative_url(OWN, page.file.url))


def on_post_template(output: str, template_name: str, config: MkDocsConfig) -> str:
    """The same on the page for what is not found, which has no address of its own."""
    return output.replace(ELSEWHERE, OWN)
