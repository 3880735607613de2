"""Judge many pairs of answers: sample, cache, estimate, ask concurrently, record everything."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from llink_ray.errors import JobFailed, LlinkError
from llink_ray.evaluation.judge.estimate import Estimate, estimate
from llink_ray.evaluation.judge.records import (
    ORDERS,
    AnswerPair,
    Backend,
    Case,
    Judgement,
    JudgeResponse,
    Order,
    winner,
)
from llink_ray.evaluation.judge.settings import JudgeSettings
from llink_ray.evaluation.judge.summary import Summary, sides, summarise
from llink_ray.evaluation.judge.verdict_log import Cache, Transcript
from llink_ray.progress import track


@dataclass(frozen=True, slots=True)
class JudgeResult:
    """The outcome of ``judge``."""

    judgements: list[Judgement]
    """In the order of the pairs given."""
    summary: Summary
    estimate: Estimate
    """As it was before the start."""


def sample(count: int, limit: int | None, seed: int) -> list[int]:
    """Indices of the pairs to judge, ascending. A greater limit adds to what a smaller one chooses."""
    return sorted(np.random.default_rng(seed).permutation(count)[:limit].tolist())


class _JudgeRun:
    """One run: the cases, which pairs pose each, and the responses."""

    def __init__(self, backend: Backend, cache: Cache | None, transcript: Transcript) -> None:
        self.backend, self.cache, self.transcript = backend, cache, transcript
        self.posed_by: dict[Case, list[tuple[int, Order, AnswerPair]]] = {}
        self.responses: dict[Case, JudgeResponse] = {}
        self.keys: dict[Case, str] = {}

    def settle(self, case: Case, response: JudgeResponse) -> None:
        """Record the response for all pairs that pose this case, before anything else can go wrong."""
        key = self.keys.get(case)
        if key is not None and self.cache is not None and not response.cached:
            self.cache.put(key, response)
        for i, (index, order, pair) in enumerate(self.posed_by[case]):
            # Asked once, however many pairs pose it.
            self.transcript.write(index, order, pair, replace(response, cached=True) if i else response)
        self.responses[case] = response

    def without_asking(self, case: Case) -> JudgeResponse | None:
        """From the cache, or a tie where both answers are the same."""
        messages = self.backend.messages(case)
        if case.first == case.second:
            return JudgeResponse("tie", [], [])
        if not messages or self.cache is None:
            return None
        self.keys[case] = Cache.key(self.backend, case)
        return self.cache.get(self.keys[case])

    def ask(self, case: Case) -> None:
        self.settle(case, self.backend.judge(case))

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
                # Requests under way are paid for: they end and are recorded.
                pool.shutdown(wait=True, cancel_futures=True)


def judge(
    pairs: Sequence[AnswerPair],
    backend: Backend,
    directory: Path,
    *,
    cache: str | Path | None = None,
    settings: JudgeSettings | None = None,
    seed: int = 0,
    tell: Callable[[str], None] = lambda _: None,
) -> JudgeResult:
    """Judge the answers of two sides in both orders.

    The transcript goes to ``directory``. ``cache``: folder of verdicts, shared between runs. ``tell`` gets
    the estimate's sentence before the first request. ``seed`` chooses the sample of ``max_judgements`` and
    the bootstrap's draws.

    Raises:
        LlinkError: the judge could not be asked at all.
        JobFailed: it failed on the way; run again, and what the cache holds is not asked again.
        ValueError: the answers are of several pairs of sides.
    """
    sides(pairs)
    settings = settings or JudgeSettings()
    indices = sample(len(pairs), settings.max_judgements, seed)
    with Transcript(directory) as transcript:
        run = _JudgeRun(backend, Cache(cache) if cache is not None else None, transcript)
        for index in indices:
            for order in ORDERS:
                case = pairs[index].case(order)
                run.posed_by.setdefault(case, []).append((index, order, pairs[index]))
        known = {case: run.without_asking(case) for case in run.posed_by}
        open_cases = [case for case, response in known.items() if response is None]
        cached = sum(len(run.posed_by[c]) for c, response in known.items() if response and response.cached)
        questions = [backend.messages(case) for case in open_cases if backend.remote]
        estimated = estimate(questions, len(indices), len(pairs), cached, settings)
        tell(estimated.sentence())
        for case, response in known.items():
            if response is not None:
                run.settle(case, response)
        before = len(run.responses)
        try:
            if open_cases:
                run.ask_all(open_cases, settings.concurrency)
        except LlinkError as error:
            done = len(run.responses) - before
            if not done:
                raise
            kept = f"what was judged is kept in {run.cache.name}" if run.cache else "nothing is cached"
            raise JobFailed(
                f"the judge stopped after {done} of {len(open_cases)} judgements, {kept}: {error}"
            ) from error
    judgements = []
    for index in indices:
        first, second = (run.responses[pairs[index].case(order)].verdict for order in ORDERS)
        judgements.append(Judgement(index, pairs[index], winner((first, second)), (first, second)))
    return JudgeResult(judgements, summarise(judgements, seed), estimated)
