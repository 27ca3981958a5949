# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""Generated files are templates filled in."""

from __future__ import annotations

from importlib import resources

from axynq.emulator.errors import ToolError


def render(template: str, **values: object) -> str:
    """A file of ``templates/`` with its values.

    Raises:
        ToolError: jinja2 is not installed.
    """
    try:
        import jinja2
    except ImportError as error:
        raise ToolError(
            "generating overlay files needs jinja2: pip install 'axynq[software]'"
        ) from (error)
    text = (resources.files("axynq.host.generate") / "templates" / template).read_text(
        encoding="utf-8"
    )
    environment = jinja2.Environment(
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    return environment.from_string(text).render(**values)
