# SPDX-License-Identifier: Apache-2.0
# Copyright The axynq maintainers
"""What a browser makes of a page: errors, requests, widths, contrast."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

CONTRAST = """() => {
  const number = (text) => {
    const found = text.match(/[\\d.]+/g).map(Number);
    return found.length > 3 ? found : [...found, 1];
  };
  const over = (top, below) => top.slice(0, 3).map((c, k) => c * top[3] + below[k] * (1 - top[3]));
  const light = (rgb) => {
    const [r, g, b] = rgb.map((c) => c / 255)
      .map((c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const ratio = (a, b) => {
    const [x, y] = [light(a), light(b)].sort((p, q) => q - p);
    return (x + 0.05) / (y + 0.05);
  };
  const behind = (element) => {
    for (let e = element; e; e = e.parentElement) {
      const colour = number(getComputedStyle(e).backgroundColor);
      if (colour[3] === 1) return colour.slice(0, 3);
    }
    return [255, 255, 255];
  };
  const found = [];
  for (const element of document.querySelectorAll("body, body *")) {
    const own = [...element.childNodes].some((n) => n.nodeType === 3 && n.textContent.trim());
    const box = element.getBoundingClientRect();
    if (!own || !box.width || ["SCRIPT", "NOSCRIPT", "title"].includes(element.tagName)) continue;
    const style = getComputedStyle(element);
    const text = number(element instanceof SVGElement ? style.fill : style.color);
    let below = behind(element);
    if (element.matches("text.count")) {
      const [x, y] = [box.x + box.width / 2, box.y + box.height / 2];
      for (const cell of element.ownerSVGElement.querySelectorAll(".cell")) {
        const r = cell.getBoundingClientRect();
        if (r.x <= x && x <= r.right && r.y <= y && y <= r.bottom)
          below = over(number(getComputedStyle(cell).fill), below);
      }
    }
    found.push([ratio(over(text, below), below), element.tagName + ": " + element.textContent]);
  }
  return found;
}"""
"""Of every element with text of its own that is shown: its contrast (WCAG 2.2, 1.4.3), and it."""


@contextmanager
def opened(
    browser: Browser,
    url: str,
    width: int = 1280,
    scheme: Literal["light", "dark"] = "light",
) -> Iterator[Page]:
    """A page. At the end of the block it must have had no errors and asked for nothing else."""
    context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
    faults: list[str] = []

    def only_the_page(route: Any) -> None:
        if route.request.url == url:
            route.continue_()
        else:
            faults.append(f"asked for {route.request.url}")
            route.abort()

    context.route("**/*", only_the_page)
    page = context.new_page()
    page.on("console", lambda message: faults.append(message.text))
    page.on("pageerror", lambda error: faults.append(str(error)))
    try:
        page.goto(url)
        yield page
        assert not faults, faults
    finally:
        context.close()


def url_of(path: Path) -> str:
    """Of a file."""
    return path.resolve().as_uri()


def check_readable(page: Page) -> None:
    """Nothing is wider than the window, texts stand out, pictures are drawn, and their figures are
    there as tables."""
    across, window = page.evaluate("[document.documentElement.scrollWidth, innerWidth]")
    assert across <= window
    contrasts = page.evaluate(CONTRAST)
    assert len(contrasts) > 10
    low = [(ratio, text) for ratio, text in contrasts if ratio < 4.5]
    assert not low, low[:5]
    figures = page.locator("figure")
    for k in range(figures.count()):
        figure = figures.nth(k)
        picture = figure.locator("svg.picture:visible")
        assert picture.count() == 1
        assert picture.locator(".mark").count() > 0
        box = picture.bounding_box()
        assert box is not None
        assert min(box["width"], box["height"]) > 50
        assert picture.evaluate("e => document.getElementById(e.getAttribute('aria-labelledby'))")
        assert figure.locator("details table").count() == 1
    assert page.locator("th:not([scope])").count() == 0
    assert page.locator("h1").count() == 1
    levels = page.evaluate("[...document.querySelectorAll('h1,h2,h3')].map(h => +h.tagName[1])")
    assert max(after - before for before, after in zip([0, *levels], levels)) == 1
