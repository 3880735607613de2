"""Languages of a message: badges, coloured spans and their legend. Spans are those of ``/v1/detect``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from llink_ray.text.languages import DECODER_LANGUAGE, language_of
from ui.escape import Direction, escape, text_direction

COLOURS = 6
"""Classes ``llink-c0`` … of the style sheet."""
Span = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class LanguageShare:
    """The part of a message that is in one language."""

    code: str | None
    name: str
    own_name: str
    direction: Direction
    characters: int
    confidence: float
    """Mean of its spans, weighted by length."""
    served: bool
    colour: int | None
    """None for the decoder's own language."""


def language_shares(text: str, spans: Sequence[Span]) -> list[LanguageShare]:
    """The languages of a message, by first appearance."""
    groups: dict[str | None, list[Span]] = {}
    for span in spans:
        groups.setdefault(span.get("language"), []).append(span)
    if len(groups) > 1 or not any(map(str.isalpha, text)):
        groups.pop(None, None)  # digits and signs
    shares: list[LanguageShare] = []
    for code, group in groups.items():
        lengths = [end - start for start, end in (_bounds(span, text) for span in group)]
        weighted = sum(
            float(span.get("confidence") or 0) * length for span, length in zip(group, lengths, strict=True)
        )
        language = language_of(code)
        name, own_name = (
            (language.name, language.own_name) if language else ("unknown language", "unknown language")
        )
        colourless = code == DECODER_LANGUAGE.code or code is None
        shares.append(
            LanguageShare(
                code=code,
                name=str(group[0].get("name") or name),
                own_name=str(group[0].get("own_name") or own_name),
                direction=language.direction if language else text_direction(text),
                characters=sum(lengths),
                confidence=weighted / sum(lengths) if sum(lengths) else 0.0,
                served=bool(group[0].get("served", True)),
                colour=None if colourless else sum(s.colour is not None for s in shares) % COLOURS,
            )
        )
    return shares


def _bounds(span: Span, text: str) -> tuple[int, int]:
    start = min(max(int(span.get("start") or 0), 0), len(text))
    return start, min(max(int(span.get("end") or 0), start), len(text))


def main_direction(text: str, spans: Sequence[Span]) -> Direction:
    """The direction of the language that most of a message is in."""
    shares = [share for share in language_shares(text, spans) if share.code]
    return max(shares, key=lambda share: share.characters).direction if shares else text_direction(text)


def _badge(share: LanguageShare) -> str:
    confidence = f"{share.confidence:.0%}"
    tooltip = f"taken for {share.name} with a confidence of {confidence}"
    if not share.served and share.code not in (None, DECODER_LANGUAGE.code):
        tooltip += ", which nobody taught yet"
        confidence += ", not taught"
    names = f'<bdi lang="{escape(share.code or "und")}">{escape(share.own_name)}</bdi>'
    if share.name != share.own_name:
        names += f' <span class="llink-name">{escape(share.name)}</span>'
    colour = "" if share.colour is None else f" llink-c{share.colour}"
    return (
        f'<span class="llink-badge{colour}" data-language="{escape(share.code or "")}" '
        f'title="{escape(tooltip)}">{names} <span class="llink-sure">{confidence}</span></span>'
    )


def badges_html(text: str, spans: Sequence[Span]) -> str:
    """One badge, or for a mixed message the legend of its colours; empty where no language is known."""
    shares = language_shares(text, spans)
    if not shares or not text.strip():
        return ""
    kind = "llink-legend" if len(shares) > 1 else "llink-badges"
    return f'<div class="{kind}">{"".join(map(_badge, shares))}</div>'


def coloured_html(text: str, spans: Sequence[Span]) -> str:
    """The text with the ``lang`` of each span, which chooses fonts; coloured where languages mix."""
    colours = {share.code: share.colour for share in language_shares(text, spans)}
    html, done = "", 0
    for start, end, code in sorted((*_bounds(span, text), str(span.get("language") or "")) for span in spans):
        start = max(start, done)
        if end > start:
            html += escape(text[done:start]) + _span_html(text[start:end], code, colours)
            done = end
    return html + escape(text[done:])


def _span_html(text: str, code: str, colours: Mapping[str | None, int | None]) -> str:
    language = language_of(code)
    if language is None:
        return escape(text)
    attributes = f'lang="{escape(language.code)}" dir="{language.direction}"'
    if len(colours) < 2:
        return f"<bdi {attributes}>{escape(text)}</bdi>"
    body = text.rstrip()  # trailing whitespace is not coloured
    colour = "llink-c-own" if (number := colours.get(code)) is None else f"llink-c{number}"
    return f'<bdi class="llink-span {colour}" {attributes}>{escape(body)}</bdi>{escape(text[len(body) :])}'
