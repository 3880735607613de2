"""Half an hour of mixed load on the HTTP service: do memory, open files or answering times grow?

    python benchmarks/soak.py                     # make soak
    python benchmarks/soak.py --minutes 3

Chats in the four embedded languages, streams, streams that are left, embeddings, detections and requests
that are wrong, at a bounded rate, on the loopback address alone. The slot cache is kept small, so that it
is full early on. All processes of the service are watched together. What comes after a fifth of the time,
in which caches fill, is divided into thirds: growth is the last one over the first. One JSON line goes to
stdout.
"""

from __future__ import annotations

import argparse
import json
import re
import statistics
import sys
import threading
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass
from typing import Any

import serving
import torch
from http_load import Client
from processes import Below
from soak_load import Load, expected

from llink_ray.cluster.command import quiet
from llink_ray.corpus import phrasebook
from llink_ray.errors import LlinkError

ALLOWED = {"memory_bytes": 1.03, "handles": 1.03, "chat_ms": 1.5, "cpu_ms": 1.25}
"""Growth up to which it is flat."""
YARDSTICK = "yardstick_ms"
"""The same work in this process: answering times may grow as it does, which is the machine's doing."""
WARM = 0.2


@dataclass(frozen=True)
class Seen:
    """Something that was measured at a moment."""

    at: float
    value: float


class Soak:
    """The load and what is seen of it."""

    def __init__(self, url: str, asked: argparse.Namespace) -> None:
        self._url, self._asked = url, asked
        self._load = Load(serving.Questions(phrasebook.languages(), asked.seed), asked.seed)
        self._lock = threading.Lock()
        self._begun = time.monotonic()
        self._next = self._begun
        self.kinds, self.failed = Counter[str](), Counter[str]()
        self.seen: dict[str, list[Seen]] = {name: [] for name in (*ALLOWED, YARDSTICK)}

    @property
    def _at(self) -> float:
        return time.monotonic() - self._begun

    def run(self) -> None:
        """Until the time is over."""
        end = self._begun + 60 * self._asked.minutes
        threads = [threading.Thread(target=self._ask, args=(end,)) for _ in range(self._asked.clients)]
        for thread in threads:
            thread.start()
        below = Below()
        cpu, done = below.taken().cpu, 0
        while time.monotonic() < end:
            time.sleep(min(self._asked.every, max(0.1, end - time.monotonic())))
            taken, answered = below.taken(), sum(self.kinds.values())
            self.seen[YARDSTICK].append(Seen(self._at, yardstick()))
            self.seen["memory_bytes"].append(Seen(self._at, taken.memory))
            self.seen["handles"].append(Seen(self._at, taken.handles))
            if answered > done:
                cost = 1e3 * (taken.cpu - cpu) / (answered - done)
                self.seen["cpu_ms"].append(Seen(self._at, cost))
            cpu, done = taken.cpu, answered
            told = f"{taken.memory / 2**20:.0f} MiB, {taken.handles} files, {answered} requests"
            print(f"{self._at:6.0f} s: {told}, {sum(self.failed.values())} failed", file=sys.stderr)
        for thread in threads:
            thread.join(90)

    def _ask(self, end: float) -> None:
        client = Client(self._url)
        while (wait := self._turn()) < end:
            time.sleep(max(0.0, wait - time.monotonic()))
            with self._lock:
                kind, work = self._load.draw()
            try:
                reply = work(client)
                good = expected(kind, reply)
                if not good:
                    print(f"{kind}: {reply.status} {reply.body}"[:400], file=sys.stderr)
            except OSError as error:
                client.close()
                good, reply = False, None
                print(f"{kind}: {error!r}", file=sys.stderr)
            with self._lock:
                self.kinds[kind] += 1
                self.failed[kind] += not good
                if kind == "chat" and reply is not None:
                    self.seen["chat_ms"].append(Seen(self._at, 1e3 * reply.seconds))

    def _turn(self) -> float:
        """When the next request is due; those that are late are not made up for."""
        with self._lock:
            self._next = max(self._next + 1 / self._asked.rate, time.monotonic())
            return self._next

    def left(self) -> float:
        """Streams that were left, by the decoder's own count of requests whose caller went away."""
        page = str(Client(self._url).get("/metrics").body)
        return float(re.findall(r"^llink_decoder_requests_cancelled (\S+)", page, re.MULTILINE)[0])

    def told(self, left: float) -> dict[str, Any]:
        """All figures."""
        span = 60.0 * self._asked.minutes
        found = {name: growth(seen, span) for name, seen in self.seen.items()}
        slower = max(1.0, found[YARDSTICK]["growth"])
        allowed = {name: most * (slower if name == "chat_ms" else 1) for name, most in ALLOWED.items()}
        flat = all(found[name]["growth"] <= most for name, most in allowed.items())
        return {
            "benchmark": "soak",
            "minutes": self._asked.minutes,
            "requests": dict(self.kinds),
            "failed": sum(self.failed.values()),
            "left_by_the_decoders_count": left,
            **found,
            "allowed": allowed,
            "flat": flat,
        }


def yardstick() -> float:
    """Milliseconds that a fixed piece of work takes by the clock now, the median of five."""
    times = []
    for _ in range(5):
        begun = time.perf_counter()
        sum(range(200_000))
        times.append(1e3 * (time.perf_counter() - begun))
    return statistics.median(times)


def growth(seen: Sequence[Seen], span: float) -> dict[str, float]:
    """First and last third of what came after the warming up, their ratio, and the slope between them."""
    first, last = WARM * span, span
    third = (last - first) / 3
    begun = [one.value for one in seen if first <= one.at < first + third]
    ended = [one.value for one in seen if one.at >= last - third]
    if not begun or not ended:
        return {"growth": float("inf")}
    before, after = statistics.median(begun), statistics.median(ended)
    return {
        "first": round(before, 2),
        "last": round(after, 2),
        "growth": round(after / before, 4),
        "a_hour": round((after - before) * 3_600 / (2 * third), 2),
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--registry", default="", help="with the four languages (default: random bundles)")
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--rate", type=float, default=8, help="requests a second at most")
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--every", type=float, default=5, help="seconds between two looks at the processes")
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args(arguments)
    if min(asked.minutes, asked.rate, asked.clients, asked.every) <= 0:
        parser.error("--minutes, --rate, --clients and --every are more than 0")
    quiet()
    torch.set_num_threads(1)
    try:
        with (
            redirect_stdout(sys.stderr),
            serving.service(asked.registry, ["cache_bytes=2000000"]) as (url, _),
        ):
            soak = Soak(url, asked)
            soak.run()
            left = soak.left()
    except LlinkError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    print(json.dumps(soak.told(left)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
