"""Something to begin with in every served language: from its phrasebook, with the meaning beside it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import islice

from llink_ray.corpus.phrasebook import languages, stream
from llink_ray.prompts.instructions import TRANSLATE
from llink_ray.text.languages import language_of
from ui.inert import inert

_SEED = 5
_LOOKED_AT = 400
"""Sentences of a phrasebook among which examples are looked for."""
_ASKED = ("how_many", "who", TRANSLATE[0])
"""What is asked: a kind of question, or an instruction as it stands."""


@dataclass(frozen=True, slots=True)
class Example:
    """A message that a bundle can answer."""

    code: str
    instruction: str
    foreign: str
    meaning: str
    """The sentence in English."""
    answer: str
    """What would be right."""

    @property
    def text(self) -> str:
        """As it is sent."""
        return f"{self.instruction} {self.foreign}"


@cache
def examples(code: str) -> tuple[Example, ...]:
    """One of each kind, from short sentences; none where the language has no phrasebook."""
    if code not in languages():
        return ()
    short = sorted(islice(stream(code, _SEED, "bundle"), _LOOKED_AT), key=lambda pair: len(pair.english))
    found, used = list[Example](), set[str]()
    for kind in _ASKED:
        for pair in short:
            question = next((q for q in pair.questions if q.kind == kind), None)
            if pair.english in used or (question is None and kind != TRANSLATE[0]):
                continue
            instruction, answer = (
                (question.instruction, question.answer) if question else (kind, pair.english)
            )
            found.append(Example(code, instruction, pair.foreign, pair.english, answer))
            used.add(pair.english)
            break
    return tuple(found)


def mixed(codes: Sequence[str]) -> Example | None:
    """One message in two languages, where two are served."""
    pairs = [examples(code)[-1] for code in codes if examples(code)][:2]
    if len(pairs) < 2:
        return None
    first, second = pairs
    meaning = f"{first.meaning} {second.meaning}"
    return Example("", TRANSLATE[0], f"{first.foreign} {second.foreign}", meaning, meaning)


def listed(codes: Iterable[str]) -> list[tuple[str, tuple[Example, ...]]]:
    """Examples by language, of those that have some."""
    return [(code, examples(code)) for code in dict.fromkeys(codes) if examples(code)]


def html(codes: Sequence[str]) -> str:
    """Buttons that put an example into the field; each says what it means."""
    groups = list[str]()
    for code, found in listed(codes):
        language = language_of(code)
        assert language is not None, "only languages of the table have phrasebooks"
        title = (
            f'<bdi lang="{inert(code)}">{inert(language.own_name)}</bdi> <span>{inert(language.name)}</span>'
        )
        groups.append(f"<section><h3>{title}</h3>{''.join(map(_button, found))}</section>")
    both = mixed(codes)
    if both:
        groups.append(f"<section><h3>Two languages at once</h3>{_button(both)}</section>")
    return f'<div class="llink-examples">{"".join(groups)}</div>' if groups else ""


def _button(example: Example) -> str:
    language = language_of(example.code)
    written = f' lang="{inert(example.code)}" dir="{language.direction}"' if language else ""
    return (
        f'<button type="button" class="llink-example" data-text="{inert(example.text)}">'
        f"<b>{inert(example.instruction)}</b>"
        f'<span class="llink-foreign"{written}>{inert(example.foreign)}</span>'
        f'<span class="llink-meaning">“{inert(example.meaning)}”</span></button>'
    )
