"""Every figure of every system on held-out pairs, example by example; finished parts come from the cache."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from llink_ray.corpus.pair import Pair
from llink_ray.evaluation.held_out.choices import BUILDERS, Choice
from llink_ray.evaluation.held_out.loaded_system import Query
from llink_ray.evaluation.held_out.result_cache import ResultCache
from llink_ray.evaluation.held_out.scoring import CandidateScore, correct, score
from llink_ray.evaluation.held_out.settings import MeasureSettings, Scoring
from llink_ray.evaluation.held_out.systems import ModelCache, System
from llink_ray.metrics.retrieval import Ranks, rank
from llink_ray.progress import Advance, track
from llink_ray.prompts.instructions import TRANSLATE_INSTRUCTION

Say = Callable[[str], None]
BLOCK = 64
"""Examples in one cached part: what an interruption costs."""


@dataclass(frozen=True)
class ScoredChoices:
    """One kind of choice, as one system scores it."""

    choices: Sequence[Choice]
    scores: list[list[CandidateScore]]
    empty: list[list[CandidateScore]]
    """After the prompt without text."""


class Measurement:
    """Asks systems about pairs, and caches what they answer."""

    def __init__(
        self,
        pairs: Sequence[Pair],
        settings: MeasureSettings,
        cache: ResultCache,
        models: ModelCache,
        say: Say,
    ) -> None:
        self.settings, self.cache, self.models, self.say = settings, cache, models, say
        self.pairs = pairs
        self.translated = pairs[: settings.translations]
        self.retrieved = pairs[: settings.retrieval_pairs]
        self.choices = dict(self._choices())
        """Kind -> choices, of the tasks that the settings name and the text has something for."""

    def _choices(self) -> Iterator[tuple[str, list[Choice]]]:
        for task, build in BUILDERS.items():
            if task not in self.settings.tasks:
                continue
            by_kind: dict[str, list[Choice]] = {}
            with track(f"choices for {task}", "pairs", len(self.pairs)) as progress:
                for choice in build(self.pairs, self.settings.seed):
                    by_kind.setdefault(choice.kind, []).append(choice)
                    progress.update(choice.pair_index + 1)
                    if len(by_kind.get(task, ())) == self.settings.choices:  # its only kind
                        break
            for kind, choices in by_kind.items():
                yield kind, choices[: self.settings.choices]

    def correct(self, system: System, kind: str, scoring: Scoring) -> list[float]:
        """1 or 0 for each choice of a kind, under one way to score."""
        scored = self.scored(system, kind, empty=scoring.prior != "none")
        return correct(scored.choices, score(scored.choices, scored.scores, scored.empty, scoring))

    def scored(self, system: System, kind: str, empty: bool = True) -> ScoredChoices:
        """Scores of all candidates of one kind of choice; without text too, where ``empty``."""
        choices = self.choices[kind]
        queries = [Query(choice.instruction, self.pairs[choice.pair_index]) for choice in choices]
        candidates = [choice.candidates for choice in choices]
        scores = self._score(system, f"{system.name}: {kind}", queries, candidates)
        if not empty:
            return ScoredChoices(choices, scores, [])
        # Sets of labels repeat: without text they are scored once.
        distinct = list(dict.fromkeys((choice.instruction, choice.candidates) for choice in choices))
        without_text = self._score(
            system,
            f"{system.name}: {kind} without text",
            [Query(instruction, None) for instruction, _ in distinct],
            [options for _, options in distinct],
        )
        by_labels = dict(zip(distinct, without_text, strict=True))
        return ScoredChoices(choices, scores, [by_labels[c.instruction, c.candidates] for c in choices])

    def _score(
        self, system: System, what: str, queries: Sequence[Query], candidates: Sequence[Sequence[str]]
    ) -> list[list[CandidateScore]]:
        def compute(block: slice, done: Advance) -> list[list[dict[str, float]]]:
            rows = system.load(self.models).log_probabilities(
                queries[block], candidates[block], self.settings.batch_tokens, done
            )
            # The last token is the end of the answer.
            return [
                [asdict(CandidateScore(float(p[:-1].sum()), float(p[-1]), len(p) - 1)) for p in row]
                for row in rows
            ]

        def key(block: slice) -> list[Any]:
            texts = [
                [query.instruction, _text(system, query.pair), list(options)]
                for query, options in zip(queries[block], candidates[block], strict=True)
            ]
            return ["score", system.identity, texts]

        rows = self._in_blocks(what, len(queries), key, compute)
        return [[CandidateScore(**candidate) for candidate in row] for row in rows]

    def answers(self, system: System) -> list[str]:
        """Translations of the pairs that are translated."""
        questions = [(TRANSLATE_INSTRUCTION, pair) for pair in self.translated]
        settings = self.settings

        def compute(block: slice, done: Advance) -> list[str]:
            answers = system.load(self.models).answer(
                questions[block], settings.batch_size, settings.max_new_tokens
            )
            done(len(answers))
            return answers

        def key(block: slice) -> list[Any]:
            texts = [[instruction, _text(system, pair)] for instruction, pair in questions[block]]
            return ["answer", system.identity, settings.max_new_tokens, texts]

        return self._in_blocks(f"{system.name}: translation", len(questions), key, compute)

    def _in_blocks(
        self,
        what: str,
        count: int,
        key: Callable[[slice], list[Any]],
        compute: Callable[[slice, Advance], list[Any]],
    ) -> list[Any]:
        """Results of ``count`` examples, cached block by block."""
        results: list[Any] = []
        with track(what, "examples", count) as progress:
            for start in range(0, count, BLOCK):
                block = slice(start, min(start + BLOCK, count))

                def compute_block(block: slice = block) -> list[Any]:
                    self.say(f"{what}, {block.start + 1} to {block.stop} of {count}")
                    return compute(block, progress.advance)

                results += self.cache.get(key(block), compute_block)
                progress.resume_at(len(results))
        return results

    def ranks(self, system: System) -> Ranks:
        """Retrieval of each pair's English among all of them."""

        def compute() -> Ranks:
            self.say(f"{system.name}: retrieval among {len(self.retrieved)}")
            loaded, size = system.load(self.models), self.settings.batch_size
            targets = loaded.targets(self.retrieved, size)
            # Of the ceiling, queries and targets are the same states.
            queries = targets if system.role == "ceiling" else loaded.vectors(self.retrieved, size)
            return rank(queries, targets)

        texts = [[_text(system, pair), pair.english] for pair in self.retrieved]
        return self.cached_ranks(["rank", system.identity, system.teacher, system.reads, texts], compute)

    def cached_ranks(self, key: Any, compute: Callable[[], Ranks]) -> Ranks:
        """Ranks from the cache, or computed."""

        def as_json() -> dict[str, Any]:
            ranks = compute()
            return {"above": ranks.above.tolist(), "tied": ranks.tied.tolist(), "margin": ranks.margin}

        stored = self.cache.get(key, as_json)
        return Ranks(np.array(stored["above"]), np.array(stored["tied"]), stored["margin"])

    def prompt_tokens(self, system: System) -> list[int]:
        """Tokens of each translation's prompt."""

        def compute() -> list[int]:
            loaded = system.load(self.models)
            return [len(loaded.prompt_ids(Query(TRANSLATE_INSTRUCTION, pair))) for pair in self.translated]

        texts = [_text(system, pair) for pair in self.translated]
        tokens: list[int] = self.cache.get(["tokens", system.identity, TRANSLATE_INSTRUCTION, texts], compute)
        return tokens


def _text(system: System, pair: Pair | None) -> str | None:
    if pair is None:
        return None
    return pair.english if system.reads == "english" else pair.foreign
