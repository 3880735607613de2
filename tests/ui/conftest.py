"""A real browser, the real API with taught bundles, and the chat in front of it: all on loopback."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser
from ui_chat import Chat, OpenChat, visit
from ui_process import ApiProcess, ChatProcess, running

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """For all tests; each page has cookies and storage of its own."""
    from browser import chromium

    with chromium() as made:
        yield made


@pytest.fixture(scope="session")
def votes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the operator wants votes."""
    return tmp_path_factory.mktemp("votes") / "votes.jsonl"


@pytest.fixture(scope="session")
def stage(tmp_path_factory: pytest.TempPathFactory, votes: Path) -> Iterator[tuple[ApiProcess, ChatProcess]]:
    """The API and the chat, up. LLINK_UI_BUNDLES names a folder whose bundles an earlier run has taught."""
    kept = os.environ.get("LLINK_UI_BUNDLES")
    folder = Path(kept) if kept else tmp_path_factory.mktemp("api")
    folder.mkdir(parents=True, exist_ok=True)
    api = ApiProcess(folder)
    ui = ChatProcess(tmp_path_factory.mktemp("ui"), api.url, "--votes", str(votes))
    with running(api, ui):
        yield api, ui


@pytest.fixture
def api(stage: tuple[ApiProcess, ChatProcess]) -> ApiProcess:
    """The API; up again, whatever the test before did to it."""
    if not stage[0].runs:
        stage[0].start()
        stage[0].wait()
    return stage[0]


@pytest.fixture
def ui(stage: tuple[ApiProcess, ChatProcess], api: ApiProcess) -> ChatProcess:
    """The chat, with its API."""
    return stage[1]


@pytest.fixture
def open_chat(browser: Browser) -> Iterator[OpenChat]:
    """``open_chat(url)``: a person's page; at the end it has to have asked no other machine for anything."""
    with ExitStack() as stack:

        def opened(url: str, **options: Any) -> Chat:
            return stack.enter_context(visit(browser, url, **options)).ready()

        yield opened


@pytest.fixture
def chat(open_chat: OpenChat, ui: ChatProcess) -> Chat:
    """A fresh page of the chat."""
    return open_chat(ui.url)
