"""A real browser, the real API with taught bundles, and the chat in front of it: all on loopback."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, sync_playwright
from ui_chat import Chat, Open, visit
from ui_process import Api, Ui, running

FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Debian's chromium, or the one that LLINK_BROWSER names, with a profile of its own."""
    place = os.environ.get("LLINK_BROWSER") or shutil.which("chromium")
    assert place, "no browser: apt install chromium, or name one in LLINK_BROWSER"
    with sync_playwright() as playwright:
        made = playwright.chromium.launch(executable_path=place, headless=True, args=FLAGS)
        yield made
        made.close()


@pytest.fixture(scope="session")
def votes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the operator wants votes."""
    return tmp_path_factory.mktemp("votes") / "votes.jsonl"


@pytest.fixture(scope="session")
def stage(tmp_path_factory: pytest.TempPathFactory, votes: Path) -> Iterator[tuple[Api, Ui]]:
    """The API and the chat, up. LLINK_UI_BUNDLES names a folder whose bundles an earlier run has taught."""
    kept = os.environ.get("LLINK_UI_BUNDLES")
    folder = Path(kept) if kept else tmp_path_factory.mktemp("api")
    folder.mkdir(parents=True, exist_ok=True)
    api = Api(folder)
    ui = Ui(tmp_path_factory.mktemp("ui"), api.url, "--votes", str(votes))
    with running(api, ui):
        yield api, ui


@pytest.fixture
def api(stage: tuple[Api, Ui]) -> Api:
    """The API; up again, whatever the test before did to it."""
    if not stage[0].runs:
        stage[0].start()
        stage[0].wait()
    return stage[0]


@pytest.fixture
def ui(stage: tuple[Api, Ui], api: Api) -> Ui:
    """The chat, with its API."""
    return stage[1]


@pytest.fixture
def open_chat(browser: Browser) -> Iterator[Open]:
    """``open_chat(url)``: a person's page; at the end it has to have asked no other machine for anything."""
    with ExitStack() as stack:

        def opened(url: str, **options: Any) -> Chat:
            return stack.enter_context(visit(browser, url, **options)).ready()

        yield opened


@pytest.fixture
def chat(open_chat: Open, ui: Ui) -> Chat:
    """A fresh page of the chat."""
    return open_chat(ui.url)
