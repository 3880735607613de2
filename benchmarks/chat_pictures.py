"""The pictures of the chat in the docs, over bundles that were taught (``make chat LANGS=all`` teaches them).

    python benchmarks/chat_pictures.py --registry runs/registry docs/images

Service and chat are brought up as ``chat.py`` does it. Wants Tibetan and Khmer in the registry. The last
line is one JSON document with the files and their sizes.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import Any

from browser import chromium
from chat import chat
from playwright.sync_api import Browser, Page, expect
from serving import service

from llink_ray.cluster.command import quiet
from llink_ray.corpus import phrasebook
from llink_ray.errors import LlinkError

_PATIENCE = 60_000
_SEED = 7
TIBETAN, KHMER = (phrasebook.pairs(code, 1, seed=_SEED, part="bundle")[0].foreign for code in ("bo", "km"))


@contextmanager
def opened(browser: Browser, url: str, width: int, height: int, **options: Any) -> Iterator[Page]:
    """A fresh page of the chat."""
    context = browser.new_context(viewport={"width": width, "height": height}, **options)
    context.set_default_timeout(_PATIENCE)
    try:
        page = context.new_page()
        page.goto(url)
        expect(page.locator("#llink-input textarea")).to_be_editable()
        expect(page.locator("#llink-examples")).to_contain_text("Tibetan")
        yield page
    finally:
        context.close()


def ask(page: Page, text: str, shown: str = "#llink-history .llink-answer") -> None:
    """Ask, and wait for the whole answer."""
    before = page.locator(shown).count()
    page.locator("#llink-input textarea").fill(text)
    page.locator("#llink-input textarea").press("Enter")
    expect(page.locator(shown)).to_have_count(before + 1)
    expect(page.locator(".llink-coming")).to_have_count(0)
    expect(page.locator("#llink-stop")).to_be_hidden()


def shoot(browser: Browser, url: str, folder: Path) -> list[Path]:
    """A conversation, two answers side by side in the dark, and a phone."""
    files = [folder / name for name in ("chat.png", "chat-compare.png", "chat-phone.png")]
    with opened(browser, url, 1000, 700) as page:
        ask(page, f"How many? {TIBETAN}")
        ask(page, f"Translate this into English. {TIBETAN} {KHMER}")
        page.screenshot(path=files[0])
    with opened(browser, url, 1000, 600, color_scheme="dark") as page:
        page.locator("#llink-compare input").click()
        ask(page, f"Translate this into English. {TIBETAN}", "#llink-left .llink-answer")
        expect(page.locator("#llink-vote-tie")).to_be_visible()
        page.screenshot(path=files[1])
    with opened(browser, url, 375, 720, is_mobile=True, has_touch=True) as page:
        ask(page, f"Who? {KHMER}")
        page.locator("#llink-panel summary").click()
        page.screenshot(path=files[2])
    return files


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--registry", default="runs/registry")
    asked = parser.parse_args(arguments)
    quiet()
    expect.set_options(timeout=_PATIENCE)
    try:
        with (
            redirect_stdout(sys.stderr),
            service(asked.registry) as (api, _),
            chat(api) as url,
            chromium() as browser,
        ):
            files = shoot(browser, url, asked.folder)
    except (LlinkError, RuntimeError) as error:
        print(f"error: {error}", file=sys.stderr)
        return getattr(error, "exit_code", 1)
    print(json.dumps({"benchmark": "chat_pictures", "bytes": {f.name: f.stat().st_size for f in files}}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
