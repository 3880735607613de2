"""Every figure of every system on held-out pairs, example by example; finished parts are taken from disk."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from llink_ray.corpus.pair import Pair
from llink_ray.evaluation.real.choices import BUILDERS, Choice
from llink_ray.evaluation.real.ranking import Ranked, ranked
from llink_ray.evaluation.real.result_cache import Kept
from llink_ray.evaluation.real.scorer import Asked, LoadedSystem
from llink_ray.evaluation.real.scoring import Weighed, right, score
from llink_ray.evaluation.real.settings import MeasureSettings, Scoring
from llink_ray.evaluation.real.systems import Holder, System
from llink_ray.progress import Progress, track
from llink_ray.prompts.instructions import TRANSLATE_INSTRUCTION

Say = Callable[[str], None]
BLOCK = 64
"""Examples in one part that is kept: what an interruption costs."""


@dataclass(frozen=True)
class Chosen:
    """One kind of choice, as one system weighed it."""

    choices: Sequence[Choice]
    told: list[list[Weighed]]
    empty: list[list[Weighed]]
    """Behind the prompt without text."""


class Measurement:
    """Asks systems about pairs, and keeps what they say."""

    def __init__(
        self, pairs: Sequence[Pair], settings: MeasureSettings, kept: Kept, holder: Holder, say: Say
    ) -> None:
        self.pairs, self.settings, self.kept, self.holder, self.say = pairs, settings, kept, holder, say
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
                    progress.update(choice.place + 1)
                    if len(by_kind.get(task, ())) == self.settings.choices:  # its only kind
                        break
            for kind, found in by_kind.items():
                yield kind, found[: self.settings.choices]

    @property
    def translated(self) -> Sequence[Pair]:
        """The pairs that are translated."""
        return self.pairs[: self.settings.translations]

    @property
    def retrieved(self) -> Sequence[Pair]:
        """The pairs among which the right one is looked for."""
        return self.pairs[: self.settings.retrieval_pairs]

    def weighed(self, system: System, kind: str, empty: bool = True) -> Chosen:
        """Likelihoods of all candidates of one kind of choice; without text too, where ``empty``."""
        choices = self.choices[kind]
        asked = [Asked(choice.instruction, self.pairs[choice.place]) for choice in choices]
        candidates = [choice.candidates for choice in choices]
        told = self._weigh(system, f"{system.name}: {kind}", asked, candidates)
        if not empty:
            return Chosen(choices, told, [])
        # Labels come again and again: behind no text they are weighed once.
        distinct = list(dict.fromkeys((choice.instruction, choice.candidates) for choice in choices))
        without = self._weigh(
            system,
            f"{system.name}: {kind} without text",
            [Asked(instruction, None) for instruction, _ in distinct],
            [said for _, said in distinct],
        )
        by_labels = dict(zip(distinct, without, strict=True))
        return Chosen(choices, told, [by_labels[c.instruction, c.candidates] for c in choices])

    def _weigh(
        self, system: System, what: str, asked: Sequence[Asked], candidates: Sequence[Sequence[str]]
    ) -> list[list[Weighed]]:
        with track(what, "examples", len(asked)) as progress:
            return self._weigh_blocks(system, what, asked, candidates, progress)

    def _weigh_blocks(
        self,
        system: System,
        what: str,
        asked: Sequence[Asked],
        candidates: Sequence[Sequence[str]],
        progress: Progress,
    ) -> list[list[Weighed]]:
        found: list[list[Weighed]] = []
        for start in range(0, len(asked), BLOCK):
            part = slice(start, start + BLOCK)

            def compute(part: slice = part) -> list[list[dict[str, float]]]:
                self.say(f"{what}, {part.start + 1} to {min(part.stop, len(asked))} of {len(asked)}")
                rows = self._speaker(system).weigh(
                    asked[part], candidates[part], self.settings.batch_tokens, progress.advance
                )
                # The last token is the end of the answer.
                return [
                    [asdict(Weighed(float(nats[:-1].sum()), float(nats[-1]), len(nats) - 1)) for nats in row]
                    for row in rows
                ]

            said = [
                [one.instruction, _read(system, one), list(options)]
                for one, options in zip(asked[part], candidates[part], strict=True)
            ]
            rows = self.kept.get(["weigh", system.identity, said], compute)
            found += [[Weighed(**row) for row in options] for options in rows]
            progress.resume_at(len(found))
        return found

    def answers(self, system: System) -> list[str]:
        """Translations of the pairs that are translated."""
        asked = [Asked(TRANSLATE_INSTRUCTION, pair) for pair in self.translated]
        with track(f"{system.name}: translation", "texts", len(asked)) as progress:
            return self._answer_blocks(system, asked, progress)

    def _answer_blocks(self, system: System, asked: Sequence[Asked], progress: Progress) -> list[str]:
        longest, found = self.settings.max_new_tokens, list[str]()
        for start in range(0, len(asked), BLOCK):
            part = slice(start, start + BLOCK)

            def compute(part: slice = part) -> list[str]:
                last = min(part.stop, len(asked))
                self.say(f"{system.name}: translation, {part.start + 1} to {last} of {len(asked)}")
                speaker, size = self._speaker(system), self.settings.batch_size
                return speaker.answer(asked[part], size, longest, progress.advance)

            said = [[one.instruction, _read(system, one)] for one in asked[part]]
            found += self.kept.get(["answer", system.identity, longest, said], compute)
            progress.resume_at(len(found))
        return found

    def ranked(self, system: System) -> Ranked:
        """Retrieval of each pair's English among all of them."""

        def compute() -> dict[str, Any]:
            self.say(f"{system.name}: retrieval among {len(self.retrieved)}")
            speaker, size = self._speaker(system), self.settings.batch_size
            targets = speaker.targets(self.retrieved, size)
            # The decoder's own states of the English, looked for among themselves, need not be made twice.
            own = system.role == "ceiling"
            return asdict(ranked(targets if own else speaker.vectors(self.retrieved, size), targets))

        texts = [[_read(system, Asked("", pair)), pair.english] for pair in self.retrieved]
        return Ranked(
            **self.kept.get(["rank", system.identity, system.teacher, system.reads, texts], compute)
        )

    def prompt_tokens(self, system: System) -> list[int]:
        """Tokens of each translation's prompt."""

        def compute() -> list[int]:
            speaker = self._speaker(system)
            return [len(speaker.row(Asked(TRANSLATE_INSTRUCTION, pair))) for pair in self.translated]

        texts = [_read(system, Asked("", pair)) for pair in self.translated]
        found: list[int] = self.kept.get(["tokens", system.identity, TRANSLATE_INSTRUCTION, texts], compute)
        return found

    def _speaker(self, system: System) -> LoadedSystem:
        return system.load(self.holder)

    def right(self, system: System, kind: str, how: Scoring) -> list[float]:
        """1 or 0 for each choice of a kind, under one way to score."""
        found = self.weighed(system, kind, empty=how.prior != "none")
        return right(found.choices, score(found.choices, found.told, found.empty, how))


def _read(system: System, asked: Asked) -> str | None:
    if asked.pair is None:
        return None
    return asked.pair.english if system.reads == "english" else asked.pair.foreign
