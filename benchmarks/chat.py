"""How long the chat takes beside the API: from Enter to the first word on the page, in a real browser.

    python benchmarks/chat.py                            # random bundles of the four embedded languages
    python benchmarks/chat.py --registry runs/registry

Service and chat are brought up on free ports of the loopback address, as ``python -m serve`` and
``python -m ui`` do. Each message is asked twice: on the page, and straight from the API, which is timed to
the first text of its stream; the two take turns in being first, after the message's slots are in the cache.
The page is timed in the browser, from the key to the frame that shows the first word. One JSON line goes to
stdout; its bar is on the median of the differences.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import Any

import torch
from browser import chromium
from http_load import Client
from playwright.sync_api import Page, expect
from serving import Questions, free_port, service

from llink_ray.cluster.command import quiet
from llink_ray.corpus import phrasebook
from llink_ray.errors import LlinkError

BAR_MS = 400.0
"""What the page may add, at the median."""
_ROUND = 8
"""Messages of one conversation."""
_ROOT = Path(__file__).resolve().parents[1]
_WATCH = r"""() => {
  const shown = () => [...document.querySelectorAll("#llink-chat .llink-answer .llink-text")]
    .filter((e) => /\S/.test(e.textContent)).length;
  addEventListener("keydown", (e) => {
    if (e.key === "Enter") window.llinkTimes = { before: shown(), enter: e.timeStamp };
  }, true);
  new MutationObserver(() => {
    const times = window.llinkTimes;
    if (times && !times.first && shown() > times.before)
      requestAnimationFrame(() => { times.first ??= performance.now(); });
  }).observe(document.body, { subtree: true, childList: true, characterData: true });
}"""


@contextmanager
def chat(api: str) -> Iterator[str]:
    """Address of a chat over an API."""
    command = [sys.executable, "-m", "ui", "--api", api, "--port", str(free_port())]
    environment = {**os.environ, "PYTHONPATH": str(_ROOT)}
    with subprocess.Popen(  # noqa: S603
        command, cwd=_ROOT, env=environment, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr is not None
        try:
            for line in process.stderr:
                if line.startswith("chat on "):
                    break
            else:
                raise LlinkError("the chat did not start")
            threading.Thread(target=process.stderr.read, daemon=True).start()
            yield line.removeprefix("chat on ").partition(",")[0]
        finally:
            process.terminate()


def taught(client: Client) -> list[str]:
    """Languages that are served and have a phrasebook.

    Raises:
        LlinkError: there is none.
    """
    models = client.get("/v1/models").body["data"]
    served = {(model.get("llink") or {}).get("language") for model in models}
    if not (codes := [code for code in phrasebook.languages() if code in served]):
        raise LlinkError("no language of the registry has a phrasebook: name another with --registry")
    return codes


def on_page(page: Page, text: str) -> float | None:
    """Milliseconds from Enter to the first word; None where the answer has none."""
    box = page.locator("#llink-input textarea")
    expect(box).to_be_editable()
    box.fill(text)
    answers = page.locator("#llink-history .llink-answer")
    before = answers.count()
    box.press("Enter")
    expect(answers).to_have_count(before + 1)
    expect(page.locator("#llink-stop")).to_be_hidden()
    times = page.evaluate("window.llinkTimes")
    return float(times["first"] - times["enter"]) if "first" in times else None


def from_api(client: Client, text: str) -> float | None:
    """The same from the API, as the chat asks it."""
    first = client.stream(text, llink={"grounding": True}).first
    return first * 1000 or None


def measure(page: Page, client: Client, messages: Sequence[str]) -> dict[str, Any]:
    """All figures."""
    paged, told, silent = list[float](), list[float](), 0
    for place, text in enumerate(messages):
        if place % _ROUND == 0:
            page.locator("#llink-new").click()
            expect(page.locator("#llink-history .llink-answer")).to_have_count(0)
        client.stream(text)  # its slots are known to both
        if place % 2:
            asked, shown = from_api(client, text), on_page(page, text)
        else:
            shown, asked = on_page(page, text), from_api(client, text)
        if shown is None or asked is None:
            silent += 1
            continue
        paged.append(shown)
        told.append(asked)
    if len(paged) < 2:
        raise LlinkError("the bundles answer without a word: name others with --registry")
    over = [mine - theirs for mine, theirs in zip(paged, told, strict=True)]
    median = statistics.median(over)
    return {
        "benchmark": "chat",
        "messages": len(paged),
        "without_a_word": silent,
        "page_ms": spread(paged),
        "api_ms": spread(told),
        "over_ms": spread(over),
        "bar_ms": BAR_MS,
        "reached": median <= BAR_MS,
    }


def spread(values: Sequence[float]) -> dict[str, float]:
    """Median, and what nine of ten stay below."""
    tenths = statistics.quantiles(values, n=10, method="inclusive")
    return {"p50": round(statistics.median(values), 1), "p90": round(tenths[-1], 1)}


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--registry", default="", help="with taught languages (default: random bundles)")
    parser.add_argument("--messages", type=int, default=40)
    parser.add_argument("--seed", type=int, default=0, help="of the sentences")
    asked = parser.parse_args(arguments)
    if asked.messages < 2:
        parser.error("--messages is at least 2")
    quiet()
    torch.set_num_threads(1)
    try:
        with (
            redirect_stdout(sys.stderr),
            service(asked.registry) as (api, _),
            chat(api) as url,
            chromium() as browser,
        ):
            page = browser.new_page()
            page.set_default_timeout(60_000)
            expect.set_options(timeout=60_000)
            page.goto(url)
            page.evaluate(_WATCH)
            client = Client(api)
            questions = Questions(taught(client), asked.seed)
            for text in questions.draw(len(questions.codes)):  # the first pass of everything is slower
                on_page(page, text)
            figures = measure(page, client, questions.draw(asked.messages))
    except (LlinkError, RuntimeError) as error:
        print(f"error: {error}", file=sys.stderr)
        return getattr(error, "exit_code", 1)
    print(json.dumps(figures))
    return 0


if __name__ == "__main__":
    sys.exit(main())
