"""What the HTTP service takes: throughput, what HTTP and Ray Serve add to the engine, and the slot cache.

    python benchmarks/serving.py                            # random bundles of the four embedded languages
    python benchmarks/serving.py --registry runs/registry
    python benchmarks/serving.py --tokens 60 --wordy        # longer answers

The service is brought up as ``python -m serve`` does, on a free port of the loopback address. It is asked
for translations of sentences of the phrasebooks, each of which comes once, by clients in this process. All
ways take turns within one run, since a busy machine slows all of them; ratios are medians over the rounds,
by the clock and by processor time of the service's processes. One JSON line goes to stdout.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, redirect_stdout
from pathlib import Path
from typing import Any

import torch
from http_load import Client
from processes import Below
from refusals import refusals
from serving_figures import Overhead, accounting, caching, chats, speed

from llink_ray.cluster.command import quiet
from llink_ray.corpus import phrasebook
from llink_ray.errors import LlinkError

ASK = "Translate this into English.\n"


class Questions:
    """Sentences that did not come before, by language."""

    def __init__(self, codes: Sequence[str], seed: int) -> None:
        self.codes = list(codes)
        self._streams = {code: phrasebook.stream(code, seed, "bundle") for code in codes}

    def draw(self, count: int, *codes: str) -> list[str]:
        """So many, of these languages in turns; of all where none is named."""
        among = codes or tuple(self.codes)
        return [self._next(among[i % len(among)]) for i in range(count)]

    def sentence(self, code: str) -> str:
        """The text alone."""
        return next(self._streams[code]).foreign

    def _next(self, code: str) -> str:
        return ASK + self.sentence(code)


@contextmanager
def service(registry: str, assignments: Sequence[str] = (), wordy: bool = False) -> Iterator[tuple[str, Any]]:
    """Address and settings of a service over a registry, or over random bundles, which may talk on."""
    import random_bundles

    from serve.settings import resolve
    from serve.start import cluster, serving

    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        if not registry:
            registry = str(folder / "registry")
            noise = random_bundles.WORDY if wordy else random_bundles.QUIET
            random_bundles.publish(folder / "registry", noise=noise)
        given = [f"registry={registry}", f"http.port={free_port()}", *assignments]
        settings = resolve(None, given)
        stack.enter_context(cluster(None, folder))
        up = stack.enter_context(serving(settings))
        yield up.url.removesuffix("/v1"), settings


def free_port() -> int:
    """Of the loopback address."""
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def measure(asked: argparse.Namespace, url: str, settings: Any) -> dict[str, Any]:
    """All figures."""
    below, questions = Below(), Questions(phrasebook.languages(), asked.seed)
    clients = [Client(url) for _ in range(asked.clients)]
    for code in questions.codes:  # the first pass of everything is slower
        for client in clients:
            client.chat(questions.draw(1, code)[0])
    few = max(4, asked.requests // 8)
    rounds, spent = [], Counter[str]()
    for turn in range(asked.rounds):
        code = questions.codes[turn % len(questions.codes)]
        ways = {
            "alone": (clients[:1], questions.draw(few, code)),
            "one language": (clients, questions.draw(asked.requests, code)),
            "all languages": (clients, questions.draw(asked.requests)),
        }
        seen = {}
        for name in list(ways) if turn % 2 else list(reversed(ways)):
            before = below.seconds() if name == "all languages" else {}
            seen[name] = speed(below, *ways[name], asked.tokens)
            if before:
                spent.update({part: now - before.get(part, 0.0) for part, now in below.seconds().items()})
        rounds.append(seen)
        told = {name: f"{figure['requests_per_second']:.1f}/s" for name, figure in rounds[-1].items()}
        print(f"round {turn + 1}: {told}", file=sys.stderr)

    def ratio(over: str, under: str, figure: str) -> float:
        return round(statistics.median(r[over][figure] / r[under][figure] for r in rounds), 3)

    def median(way: str) -> dict[str, float]:
        return {key: round(statistics.median(r[way][key] for r in rounds), 2) for key in rounds[0][way]}

    def per_request(seconds: float) -> float:
        return float(round(1e3 * seconds / (asked.rounds * asked.requests), 2))

    overhead = Overhead(settings, clients[0])
    try:
        found = overhead.measure(questions.draw(asked.turns))
        same = accounting(overhead, clients[0], questions.draw(asked.turns))
    finally:
        overhead.stop()
    return {
        "benchmark": "serving",
        "clients": asked.clients,
        "requests": asked.requests,
        "rounds": asked.rounds,
        "tokens": asked.tokens,
        "ways": {way: median(way) for way in rounds[0]},
        "cpu_ms_by_process": {part: per_request(seconds) for part, seconds in spent.most_common()},
        "clients_over_alone": ratio("one language", "alone", "requests_per_second"),
        "clients_over_alone_by_tokens": ratio("one language", "alone", "tokens_per_second"),
        "clients_over_alone_cpu": ratio("alone", "one language", "cpu_ms"),
        "mixed_over_one_language": ratio("all languages", "one language", "requests_per_second"),
        "mixed_over_one_language_cpu": ratio("one language", "all languages", "cpu_ms"),
        "overhead_ms": found,
        "slot_cache": caching(clients[0], questions.draw(asked.turns)) | chats(clients[0], questions),
        "accounting": same,
        "refusals_ms": refusals(url),
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--registry", default="", help="with the four languages (default: random bundles)")
    parser.add_argument("--clients", type=int, default=16)
    parser.add_argument("--requests", type=int, default=96, help="of a round, all clients together")
    parser.add_argument("--rounds", type=int, default=8, help="how often each way is timed")
    parser.add_argument("--turns", type=int, default=40, help="questions for each of the other figures")
    parser.add_argument("--tokens", type=int, default=10, help="of an answer at most, for the timed clients")
    parser.add_argument("--wordy", action="store_true", help="random bundles that talk on")
    parser.add_argument("--seed", type=int, default=0, help="of the sentences")
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="as for python -m serve"
    )
    asked = parser.parse_args(arguments)
    if min(asked.clients, asked.requests, asked.rounds, asked.turns, asked.tokens) < 1:
        parser.error("--clients, --requests, --rounds, --turns and --tokens are at least 1")
    quiet()
    torch.set_num_threads(1)
    try:
        with redirect_stdout(sys.stderr), service(asked.registry, asked.set, asked.wordy) as (url, settings):
            figures = measure(asked, url, settings)
    except LlinkError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    print(json.dumps(figures))
    return 0


if __name__ == "__main__":
    sys.exit(main())
