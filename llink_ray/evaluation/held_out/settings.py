"""Settings of a measurement on held-out text."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, PositiveInt

from llink_ray.settings import Section

Task = Literal[
    "retrieval", "translation", "which_of_four", "near_miss", "cloze", "numbers", "labelled", "tokens"
]
TASKS: tuple[Task, ...] = (
    "retrieval",
    "translation",
    "which_of_four",
    "near_miss",
    "cloze",
    "numbers",
    "labelled",
    "tokens",
)


class Scoring(Section):
    """How the log-probability of a candidate becomes its score."""

    length: Literal["sum", "token", "byte"] = "sum"
    """What the log-probability is divided by: nothing, the candidate's tokens, or its UTF-8 bytes."""
    prior: Literal["none", "empty", "mean"] = "empty"
    """What is subtracted: nothing; the score after a prompt without text; the label's mean over the set."""
    end: bool = False
    """Whether the end of the answer counts as one of its tokens."""


class MeasureSettings(Section):
    """What is measured on held-out text, and how."""

    tasks: tuple[Task, ...] = TASKS
    """Which; those that the text has nothing for are left out."""
    retrieval_pairs: PositiveInt = 1_024
    """Pairs among which the right one is looked for."""
    translations: PositiveInt = 128
    """Pairs translated."""
    choices: PositiveInt = 256
    """Examples of each kind of choice."""
    which_of_four: Scoring = Scoring()
    """Own English among four."""
    near_miss: Scoring = Scoring()
    """Own English against the same with one word swapped."""
    cloze: Scoring = Scoring()
    """Which of four words stood there."""
    numbers: Scoring = Scoring()
    """Own English against the same with a number altered."""
    labelled: Scoring = Scoring(prior="mean")
    """Questions of the corpus that come with choices."""
    metric: str | None = None
    """A sentence-transformers model that compares answers with references, by cosine."""
    max_new_tokens: PositiveInt = 96
    """Longest translation."""
    batch_size: PositiveInt = 16
    """Prompts in one batch of generation."""
    batch_tokens: PositiveInt = 2_048
    """Padded tokens in one forward of a likelihood."""
    draws: PositiveInt = Field(default=2_000, ge=100)
    """Samples of the bootstrap."""
    seed: int = Field(default=0, ge=0)
    """Which pairs, which wrong candidates, which draws: same seed, same figures."""

    def limited(self, limit: int | None) -> MeasureSettings:
        """At most so many examples in every task."""
        if limit is None:
            return self
        names = ("retrieval_pairs", "translations", "choices")
        return self.model_copy(update={name: min(limit, getattr(self, name)) for name in names})
