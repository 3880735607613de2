"""Judge many contests: sample, cache, estimate, ask at once, keep everything."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from llink_ray.errors import JobFailed, LlinkError
from llink_ray.evaluation.judge.cache import Cache
from llink_ray.evaluation.judge.contest import (
    ORDERS,
    Backend,
    Case,
    Contest,
    Judgement,
    Order,
    Ruling,
    winner,
)
from llink_ray.evaluation.judge.estimate import Estimate, estimate
from llink_ray.evaluation.judge.settings import JudgeSettings
from llink_ray.evaluation.judge.summary import Summary, pair, summarise
from llink_ray.evaluation.judge.transcript import Transcript
from llink_ray.progress import track


@dataclass(frozen=True, slots=True)
class Judged:
    """The outcome of ``judge``."""

    judgements: list[Judgement]
    """In the order of the contests given."""
    summary: Summary
    estimate: Estimate
    """As it was before the start; ``contests`` of ``of`` were judged."""


def sample(count: int, limit: int | None, seed: int) -> list[int]:
    """Places of the contests to judge, ascending. A greater limit adds to what a smaller one had chosen."""
    chosen = np.random.default_rng(seed).permutation(count)[:limit]
    return sorted(int(place) for place in chosen)


class _Sitting:
    """One run: which cases are to be asked, who waits for each, what came of them."""

    def __init__(self, backend: Backend, cache: Cache | None, transcript: Transcript) -> None:
        self.backend, self.cache, self.transcript = backend, cache, transcript
        self.waiting: dict[Case, list[tuple[int, Order, Contest]]] = {}
        self.rulings: dict[Case, Ruling] = {}
        self.keys: dict[Case, str] = {}

    def settle(self, case: Case, ruling: Ruling) -> None:
        """Write it down for all contests that pose this case, before anything else can go wrong."""
        key = self.keys.get(case)
        if key is not None and self.cache is not None and not ruling.cached:
            self.cache.put(key, ruling)
        for i, (place, order, contest) in enumerate(self.waiting[case]):
            # Asked once, however many contests pose it.
            self.transcript.write(place, order, contest, replace(ruling, cached=True) if i else ruling)
        self.rulings[case] = ruling

    def known(self, case: Case) -> Ruling | None:
        """Without asking: from the cache, or a tie where both answers are the same."""
        messages = self.backend.messages(case)
        if case.first == case.second:
            return Ruling("tie", [], [])
        if not messages or self.cache is None:
            return None
        self.keys[case] = Cache.key(self.backend, case)
        return self.cache.get(self.keys[case])

    def ask(self, case: Case) -> None:
        self.settle(case, self.backend.rule(case))

    def ask_all(self, cases: Sequence[Case], concurrency: int) -> None:
        """The first alone, so that a wrong key or address costs one request; then several at once."""
        with track("judge", "judgements", len(cases)) as progress:
            self.ask(cases[0])
            progress.advance()
            pool = ThreadPoolExecutor(max_workers=concurrency if self.backend.remote else 1)
            try:
                for future in as_completed([pool.submit(self.ask, case) for case in cases[1:]]):
                    future.result()
                    progress.advance()
            finally:
                # Those under way are paid for: they end and are kept.
                pool.shutdown(wait=True, cancel_futures=True)


def judge(
    contests: Sequence[Contest],
    backend: Backend,
    directory: Path,
    *,
    cache: str | Path | None = None,
    settings: JudgeSettings | None = None,
    seed: int = 0,
    tell: Callable[[str], None] | None = None,
) -> Judged:
    """Judge contests of one pair of sides in both orders.

    The transcript goes to ``directory``. ``cache``: folder of verdicts, shared between runs. ``tell`` gets
    the estimate's sentence before the first request. ``seed`` chooses the sample of ``max_judgements`` and
    the bootstrap's draws.

    Raises:
        LlinkError: the judge could not be asked at all.
        JobFailed: it failed on the way; run again, and what the cache holds is not asked again.
        ValueError: the contests are of several pairs of sides.
    """
    pair(contests)
    settings = settings or JudgeSettings()
    places = sample(len(contests), settings.max_judgements, seed)
    with Transcript(directory) as transcript:
        sitting = _Sitting(backend, Cache(cache) if cache is not None else None, transcript)
        for place in places:
            for order in ORDERS:
                case = contests[place].case(order)
                sitting.waiting.setdefault(case, []).append((place, order, contests[place]))
        found = {case: sitting.known(case) for case in sitting.waiting}
        open_cases = [case for case, ruling in found.items() if ruling is None]
        cached = sum(len(sitting.waiting[c]) for c, ruling in found.items() if ruling and ruling.cached)
        asked = [backend.messages(case) for case in open_cases if backend.remote]
        estimated = estimate(asked, len(places), len(contests), cached, settings)
        if tell is not None:
            tell(estimated.sentence())
        for case, ruling in found.items():
            if ruling is not None:
                sitting.settle(case, ruling)
        before = len(sitting.rulings)
        try:
            if open_cases:
                sitting.ask_all(open_cases, settings.concurrency)
        except LlinkError as error:
            done = len(sitting.rulings) - before
            if not done:
                raise
            kept = (
                f"what was judged is kept in {sitting.cache.name}" if sitting.cache else "nothing is cached"
            )
            raise JobFailed(
                f"the judge stopped after {done} of {len(open_cases)} judgements, {kept}: {error}"
            ) from error
    judgements = []
    for place in places:
        one, other = (sitting.rulings[contests[place].case(order)].verdict for order in ORDERS)
        judgements.append(Judgement(place, contests[place], winner((one, other)), (one, other)))
    return Judged(judgements, summarise(judgements, seed), estimated)
