"""Training data of the embedded decoder: English questions about one sentence, or about one of several."""

from __future__ import annotations

import random
from dataclasses import dataclass

from transformers import PreTrainedTokenizerFast

from llink_ray.corpus.pair import TRANSLATION_KIND, Pair, Question
from llink_ray.prompts.instructions import (
    PASSAGE_QUESTION,
    TRANSLATION_INSTRUCTIONS,
    WHOLE_TRANSLATION_LIMIT,
)
from llink_ray.prompts.message import SENTENCE_NUMBER, number_sentences

MAX_SENTENCES = 6
"""Sentences of the longest passage."""

Turn = tuple[str, str]
"""What the user says, what the assistant answers."""


@dataclass(frozen=True)
class Dialogue:
    """Turns about sentences; the first turn shows them."""

    sentences: list[str]
    turns: list[Turn]


class DialogueSampler:
    """Draws dialogues about sentences of ``pairs``."""

    def __init__(self, pairs: list[Pair], translate_share: float, rng: random.Random) -> None:
        self.pairs, self.translate_share, self.rng = pairs, translate_share, rng
        self.by_kind: dict[str, list[Pair]] = {}
        for pair in pairs:
            for question in pair.questions:
                self.by_kind.setdefault(question.kind, []).append(pair)

    def sample(self, sentences: int, turns: int) -> Dialogue:
        """One about so many sentences; translating English is copying it."""
        drawn = [self._pair() for _ in range(sentences)]
        asked = [self._turn(drawn) for _ in range(turns)]
        texts = [pair.english for pair, _ in drawn]
        instruction, answer = asked[0]
        # A space before the text, as in PromptBuilder.text_prompt.
        asked[0] = f"{instruction}\n {number_sentences(texts).removeprefix(' ')}", answer
        return Dialogue(texts, asked)

    def _pair(self) -> tuple[Pair, str | None]:
        """A pair, mostly of a kind of question drawn first: rare kinds are asked as often as common ones."""
        if self.rng.random() < 0.35:
            return self.rng.choice(self.pairs), None
        kind = self.rng.choice(list(self.by_kind))
        return self.rng.choice(self.by_kind[kind]), kind

    def _turn(self, drawn: list[tuple[Pair, str | None]]) -> Turn:
        index = self.rng.randrange(len(drawn))
        pair, kind = drawn[index]
        if self.rng.random() < self.translate_share:
            instruction = self.rng.choice(TRANSLATION_INSTRUCTIONS)
            if 1 < len(drawn) <= WHOLE_TRANSLATION_LIMIT and self.rng.random() < 0.5:
                return instruction, " ".join(other.english for other, _ in drawn)
            question = Question(TRANSLATION_KIND, instruction, pair.english)
        else:
            of_kind = [q for q in pair.questions if q.kind == kind] if self.rng.random() < 0.65 else []
            question = self.rng.choice(of_kind or pair.questions)
        if len(drawn) == 1:
            return question.instruction, question.answer
        return PASSAGE_QUESTION.format(number=index + 1, instruction=question.instruction), question.answer


def tokenise(tokenizer: PreTrainedTokenizerFast, turns: list[Turn]) -> tuple[list[int], list[bool]]:
    """Token ids of a dialogue, and which of them the assistant writes."""
    users = tokenizer([f"<|user|>{text}<|end|><|assistant|>" for text, _ in turns])["input_ids"]
    assistants = tokenizer([f"{answer}<|end|>" for _, answer in turns])["input_ids"]
    ids, is_answer = [tokenizer.bos_token_id], [False]
    for question, answer in zip(users, assistants, strict=True):
        ids += question + answer
        is_answer += [False] * len(question) + [True] * len(answer)
    return ids, is_answer


class SentenceNumbers:
    """Which sentence each token of a dialogue is about."""

    def __init__(self, tokenizer: PreTrainedTokenizerFast) -> None:
        def first_id(text: str) -> int:
            ids: list[int] = tokenizer(text)["input_ids"]
            return ids[0]

        numbers = range(1, MAX_SENTENCES + 1)
        self.numbers = {first_id(f" {SENTENCE_NUMBER.format(number=n)}"): n for n in numbers}
        self.questions = {
            first_id(PASSAGE_QUESTION.format(number=n, instruction="").strip()): n for n in numbers
        }
        self.user = tokenizer.convert_tokens_to_ids("<|user|>")
        self.end = tokenizer.convert_tokens_to_ids("<|end|>")

    def of(self, ids: list[int]) -> list[int]:
        """In a passage the sentence a token stands in, elsewhere the one that is asked about; 0 for none."""
        asked = current = 0
        numbers = []
        for token in ids:
            if token == self.user:
                asked = current = 0
            elif token == self.end:
                current = asked
            elif token in self.questions:
                asked = current = self.questions[token]
            current = self.numbers.get(token, current)
            numbers.append(current)
        return numbers
