"""What the embedded decoder is taught with: questions in English about one sentence, or one of several."""

from __future__ import annotations

import random
from dataclasses import dataclass

from transformers import PreTrainedTokenizerFast

from llink_ray.corpus.pair import Pair, Question
from llink_ray.prompts.instructions import PLACE, TRANSLATE, WHOLE
from llink_ray.prompts.message import SENTENCE_NUMBER, number_sentences

MOST = 6
"""Sentences of the longest passage."""

Turn = tuple[str, str]
"""What the user says, what the assistant answers."""


@dataclass(frozen=True)
class Conversation:
    """Turns about sentences; the first turn shows them."""

    sentences: list[str]
    turns: list[Turn]


class Conversations:
    """Draws conversations about sentences of ``pairs``, without end."""

    def __init__(self, pairs: list[Pair], translate_share: float, rng: random.Random) -> None:
        self.pairs, self.translate_share, self.rng = pairs, translate_share, rng
        self.by_kind: dict[str, list[Pair]] = {}
        for pair in pairs:
            for question in pair.questions:
                self.by_kind.setdefault(question.kind, []).append(pair)

    def draw(self, sentences: int, turns: int) -> Conversation:
        """One about so many sentences; translating English is copying it."""
        drawn = [self._pair() for _ in range(sentences)]
        asked = [self._turn(drawn) for _ in range(turns)]
        texts = [pair.english for pair, _ in drawn]
        # A space before the text, as in PromptBuilder.text_prompt.
        asked[0] = (f"{asked[0][0]}\n {number_sentences(texts).removeprefix(' ')}", asked[0][1])
        return Conversation(texts, asked)

    def _pair(self) -> tuple[Pair, str | None]:
        """Most of them for a kind of question drawn first: rare kinds are asked as often as common ones."""
        if self.rng.random() < 0.35:
            return self.rng.choice(self.pairs), None
        kind = self.rng.choice(list(self.by_kind))
        return self.rng.choice(self.by_kind[kind]), kind

    def _turn(self, drawn: list[tuple[Pair, str | None]]) -> Turn:
        place = self.rng.randrange(len(drawn))
        pair, kind = drawn[place]
        if self.rng.random() < self.translate_share:
            wording = self.rng.choice(TRANSLATE)
            if 1 < len(drawn) <= WHOLE and self.rng.random() < 0.5:
                return wording, " ".join(other.english for other, _ in drawn)
            question = Question("translate", wording, pair.english)
        else:
            fitting = [q for q in pair.questions if q.kind == kind] if self.rng.random() < 0.65 else []
            question = self.rng.choice(fitting or pair.questions)
        if len(drawn) == 1:
            return question.instruction, question.answer
        return PLACE.format(number=place + 1, instruction=question.instruction), question.answer


def tokenise(tokenizer: PreTrainedTokenizerFast, turns: list[Turn]) -> tuple[list[int], list[bool]]:
    """Token ids of a conversation, and which of them the assistant says."""
    asked = tokenizer([f"<|user|>{said}<|end|><|assistant|>" for said, _ in turns])["input_ids"]
    told = tokenizer([f"{answer}<|end|>" for _, answer in turns])["input_ids"]
    ids, says = [tokenizer.bos_token_id], [False]
    for question, answer in zip(asked, told, strict=True):
        ids += question + answer
        says += [False] * len(question) + [True] * len(answer)
    return ids, says


class Numbers:
    """Which sentence each token of a conversation is about."""

    def __init__(self, tokenizer: PreTrainedTokenizerFast) -> None:
        def single(text: str) -> int:
            ids: list[int] = tokenizer(text)["input_ids"]
            return ids[0]

        numbers = range(1, MOST + 1)
        self.marks = {single(f" {SENTENCE_NUMBER.format(number=n)}"): n for n in numbers}
        self.places = {single(PLACE.format(number=n, instruction="").strip()): n for n in numbers}
        self.user = tokenizer.convert_tokens_to_ids("<|user|>")
        self.end = tokenizer.convert_tokens_to_ids("<|end|>")

    def of(self, ids: list[int]) -> list[int]:
        """In a passage the sentence a token stands in, elsewhere the one asked about; 0 for none."""
        asked = here = 0
        found = []
        for token in ids:
            if token == self.user:
                asked = here = 0
            elif token == self.end:
                here = asked
            elif token in self.places:
                asked = here = self.places[token]
            here = self.marks.get(token, here)
            found.append(here)
        return found
