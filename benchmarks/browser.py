"""A real browser without a window: Debian's chromium, or the one that LLINK_BROWSER names."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager

from playwright.sync_api import Browser, sync_playwright

FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


@contextmanager
def chromium() -> Iterator[Browser]:
    """It, with a profile of its own that is gone afterwards.

    Raises:
        RuntimeError: there is none.
    """
    place = os.environ.get("LLINK_BROWSER") or shutil.which("chromium")
    if place is None:
        raise RuntimeError("no browser: apt install chromium, or name one in LLINK_BROWSER")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=place, headless=True, args=list(FLAGS))
        try:
            yield browser
        finally:
            browser.close()
