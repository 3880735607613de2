"""Languages of a message: badges, stretches in colours, a legend. Spans are as ``/v1/detect`` has them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from llink_ray.text.languages import DECODER_LANGUAGE, language_of
from ui.inert import Direction, direction_of, inert

COLOURS = 6
"""Languages of one message that have a colour of their own."""
Span = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Share:
    """What of a message is in one language."""

    code: str | None
    name: str
    own_name: str
    direction: Direction
    letters: int
    confidence: float
    """Of its stretches, weighed by their length."""
    served: bool
    colour: int | None
    """None for the decoder's own language, which needs none."""

    @property
    def label(self) -> str:
        """Own name and English name, once where they are the same."""
        return self.name if self.name == self.own_name else f"{self.own_name} · {self.name}"


def shares(text: str, spans: Sequence[Span]) -> list[Share]:
    """The languages of a message, in the order in which they first come."""
    groups: dict[str | None, list[Span]] = {}
    for span in spans:
        groups.setdefault(span.get("language"), []).append(span)
    if len(groups) > 1 or not any(map(str.isalpha, text)):
        groups.pop(None, None)  # digits and signs
    found: list[Share] = []
    for code, group in groups.items():
        letters = sum(_length(span, text) for span in group)
        sure = sum(float(span.get("confidence") or 0) * _length(span, text) for span in group)
        language = language_of(code)
        first = group[0]
        own = code == DECODER_LANGUAGE.code or code is None
        found.append(
            Share(
                code=code,
                name=str(first.get("name") or (language.name if language else "unknown language")),
                own_name=str(
                    first.get("own_name") or (language.own_name if language else "unknown language")
                ),
                direction=language.direction if language else direction_of(text),
                letters=letters,
                confidence=sure / letters if letters else 0.0,
                served=bool(first.get("served", True)),
                colour=None if own else sum(one.colour is not None for one in found) % COLOURS,
            )
        )
    return found


def _length(span: Span, text: str) -> int:
    start, end = _bounds(span, text)
    return end - start


def _bounds(span: Span, text: str) -> tuple[int, int]:
    start = min(max(int(span.get("start") or 0), 0), len(text))
    return start, min(max(int(span.get("end") or 0), start), len(text))


def main_direction(text: str, spans: Sequence[Span]) -> Direction:
    """Which way a message runs: that of the language most of it is in."""
    found = [share for share in shares(text, spans) if share.code]
    return max(found, key=lambda share: share.letters).direction if found else direction_of(text)


def badge(share: Share) -> str:
    """One language: own name, English name, confidence; whether nobody taught it."""
    colour = "" if share.colour is None else f" llink-c{share.colour}"
    sure = f"{share.confidence:.0%}"
    note = ""
    names = f'<bdi lang="{inert(share.code or "und")}">{inert(share.own_name)}</bdi>'
    if not share.served and share.code not in (None, DECODER_LANGUAGE.code):
        note = ", which nobody taught yet"
        sure = f"{sure}, not taught"
    if share.name != share.own_name:
        names += f' <span class="llink-name">{inert(share.name)}</span>'
    told = f"taken for {share.name} with a confidence of {share.confidence:.0%}{note}"
    return (
        f'<span class="llink-badge{colour}" data-language="{inert(share.code or "")}" title="{inert(told)}">'
        f'{names} <span class="llink-sure">{sure}</span></span>'
    )


def badges(text: str, spans: Sequence[Span]) -> str:
    """One badge, or of a mixed message the legend of its colours; nothing where nothing is known."""
    found = shares(text, spans)
    if not found or not text.strip():
        return ""
    inner = "".join(badge(share) for share in found)
    kind = "llink-legend" if len(found) > 1 else "llink-badges"
    return f'<div class="{kind}">{inner}</div>'


def coloured(text: str, spans: Sequence[Span]) -> str:
    """The text with a mark round each stretch of a mixed message; its language, for fonts, in any case."""
    colours = {share.code: share.colour for share in shares(text, spans)}
    found, done = list[str](), 0
    for span in sorted(spans, key=lambda span: _bounds(span, text)):
        start, end = _bounds(span, text)
        start = max(start, done)
        if end <= start:
            continue
        found.append(inert(text[done:start]))
        found.append(_stretch(text[start:end], span.get("language"), colours, len(colours) > 1))
        done = end
    return "".join(found) + inert(text[done:])


def _stretch(text: str, code: Any, colours: Mapping[str | None, int | None], mixed: bool) -> str:
    language = language_of(code)
    if language is None:
        return inert(text)
    written = f'lang="{inert(language.code)}" dir="{language.direction}"'
    if not mixed:
        return f"<bdi {written}>{inert(text)}</bdi>"
    body = text.rstrip()  # blanks and line breaks behind a stretch have no colour
    colour = "llink-c-own" if (number := colours.get(code)) is None else f"llink-c{number}"
    return f'<bdi class="llink-span {colour}" {written}>{inert(body)}</bdi>{inert(text[len(body) :])}'
