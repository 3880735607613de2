"""Example messages of every served language that has a phrasebook, with their meaning."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from itertools import islice

from llink_ray.corpus.phrasebook import languages, stream
from llink_ray.prompts.instructions import TRANSLATE_INSTRUCTION
from llink_ray.text.languages import language_of
from ui.escape import escape

_SEED = 5
_CANDIDATES = 400
"""Sentences of a phrasebook from which the examples are chosen."""
_KINDS = ("how_many", "who", TRANSLATE_INSTRUCTION)
"""Kinds of question, and an instruction as it is."""


@dataclass(frozen=True, slots=True)
class Example:
    """A message that a bundle can answer."""

    code: str
    instruction: str
    foreign: str
    english: str
    answer: str

    @property
    def text(self) -> str:
        """The message."""
        return f"{self.instruction} {self.foreign}"


@cache
def examples(code: str) -> tuple[Example, ...]:
    """One of each kind, from short sentences; none where the language has no phrasebook."""
    if code not in languages():
        return ()
    pairs = sorted(islice(stream(code, _SEED, "bundle"), _CANDIDATES), key=lambda pair: len(pair.english))
    chosen = dict[str, Example]()
    for kind in _KINDS:
        for pair in pairs:
            question = next((q for q in pair.questions if q.kind == kind), None)
            if pair.english not in chosen and (question or kind == TRANSLATE_INSTRUCTION):
                instruction = question.instruction if question else kind
                answer = question.answer if question else pair.english
                chosen[pair.english] = Example(code, instruction, pair.foreign, pair.english, answer)
                break
    return tuple(chosen.values())


def mixed_example(codes: Sequence[str]) -> Example | None:
    """One message in the first two of the languages that have examples."""
    pairs = [examples(code)[-1] for code in codes if examples(code)][:2]
    if len(pairs) < 2:
        return None
    english = " ".join(pair.english for pair in pairs)
    return Example("", TRANSLATE_INSTRUCTION, " ".join(pair.foreign for pair in pairs), english, english)


def examples_html(codes: Sequence[str]) -> str:
    """Buttons by language that put an example into the input; empty without examples."""
    sections = list[str]()
    for code in dict.fromkeys(codes):
        language = language_of(code)
        if language and (buttons := "".join(map(_button, examples(code)))):
            own_name = f'<bdi lang="{escape(code)}">{escape(language.own_name)}</bdi>'
            sections.append(
                f"<section><h3>{own_name} <span>{escape(language.name)}</span></h3>{buttons}</section>"
            )
    if mixed := mixed_example(codes):
        sections.append(f"<section><h3>Two languages at once</h3>{_button(mixed)}</section>")
    return f'<div class="llink-examples">{"".join(sections)}</div>' if sections else ""


def _button(example: Example) -> str:
    language = language_of(example.code)
    attributes = f' lang="{escape(example.code)}" dir="{language.direction}"' if language else ""
    return (
        f'<button type="button" class="llink-example" data-text="{escape(example.text)}">'
        f"<b>{escape(example.instruction)}</b>"
        f'<span class="llink-foreign"{attributes}>{escape(example.foreign)}</span>'
        f'<span class="llink-meaning">“{escape(example.english)}”</span></button>'
    )
