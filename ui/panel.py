"""What the model saw, below an answer: how the text was read, what it cost, what the answer depends on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from llink_ray.text.languages import language_of
from ui.inert import inert

_EXCERPT = 60
"""Letters of a stretch that are shown."""


def panel(seen: Mapping[str, Any], asked: str, last: bool) -> str:
    """The panel of one answer, closed; ``asked`` is the message as it was sent."""
    facts = [*_facts(seen)]
    if not facts:
        return ""
    llink = seen.get("llink") or {}
    leaning = (llink.get("grounding") or {}).get("sentence")
    summary = f'<span class="llink-leaning">{inert(_capital(str(leaning)))}.</span>' if leaning else ""
    rows = "".join(f"<dt>{inert(name)}</dt><dd>{inert(value)}</dd>" for name, value in facts)
    place = ' id="llink-panel"' if last else ""
    return (
        f'<details class="llink-panel"{place}><summary>What the model saw {summary}</summary>'
        f'{_table(llink.get("spans") or (), asked)}<dl class="llink-facts">{rows}</dl></details>'
    )


def _facts(seen: Mapping[str, Any]) -> list[tuple[str, str]]:
    llink, found = seen.get("llink") or {}, list[tuple[str, str]]()
    numerals = [number for span in llink.get("spans") or () for number in span.get("numerals") or ()]
    if "slots" in llink:
        read, hits = int(llink.get("sentences") or 0), int(llink.get("slot_cache_hits") or 0)
        again = f", {hits} of them known from before" if hits else ""
        marked = f"{llink['slots']}, marks included, for {_count(read, 'foreign sentence')}{again}"
        found.append(("Slots", marked))
    if numerals:
        found.append(("Numerals beside them", ", ".join(map(str, numerals))))
    fed, raw = llink.get("prompt_tokens"), llink.get("prompt_tokens_raw")
    if fed is not None and raw:
        share = f": {1 - fed / raw:.0%} fewer" if fed < raw else ""
        found.append(("Tokens of the prompt", f"{fed} fed, {raw} as plain text{share}"))
    made = (seen.get("usage") or {}).get("completion_tokens")
    if made is not None:
        found.append(("Tokens of the answer", str(made)))
    if (first := seen.get("first_token")) is not None:
        found.append(("Time to the first token", f"{float(first) * 1000:.0f} ms"))
    if speed := seen.get("tokens_per_second"):
        found.append(("Tokens per second", f"{float(speed):.0f}"))
    if grounding := llink.get("grounding"):
        score = f"{float(grounding.get('nats') or 0):+.2f} nats a token: {grounding.get('sentence') or ''}"
        found.append(("Grounding", score))
    if bundles := llink.get("bundles"):
        named = [f"{_name(code)} {one.get('version', '')}" for code, one in bundles.items()]
        found.append(("Bundles", ", ".join(named)))
    if "adapter" in llink:
        adapter = llink["adapter"]
        found.append(("Adapter", _name(adapter) if adapter else "none: the decoder as it came"))
    if llink.get("instruction_added"):
        found.append(("Instruction", "one was added, since the message had none"))
    if model := seen.get("model"):
        found.append(("Model", str(model)))
    return found


def _table(spans: Sequence[Mapping[str, Any]], asked: str) -> str:
    """The stretches of the last message."""
    if not spans:
        return ""
    number = max(int(span.get("message") or 0) for span in spans)
    rows = list[str]()
    for span in spans:
        if int(span.get("message") or 0) != number:
            continue
        text = asked[int(span.get("start") or 0) : int(span.get("end") or 0)].strip()
        short = text if len(text) <= _EXCERPT else f"{text[:_EXCERPT]}…"
        code = span.get("language")
        language = language_of(code)
        written = f' lang="{inert(str(code))}" dir="{language.direction}"' if language else ""
        slots = int(span.get("slots") or 0)
        unlike = ", unlike the training text" if span.get("outside") else ""
        cells = (
            f"<td{written}>{inert(short)}</td>",
            f"<td>{inert(_name(code))}</td>",
            f"<td>{float(span.get('confidence') or 0):.0%}</td>",
            f"<td>{f'{slots} slots' if slots else 'text'}{unlike}</td>",
        )
        rows.append(f"<tr>{''.join(cells)}</tr>")
    head = "<tr><th>Stretch</th><th>Language</th><th>Sure</th><th>Read as</th></tr>"
    return f'<table class="llink-stretches"><thead>{head}</thead><tbody>{"".join(rows)}</tbody></table>'


def _name(code: Any) -> str:
    language = language_of(code)
    return language.name if language else str(code or "none known")


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def _capital(sentence: str) -> str:
    return sentence[:1].upper() + sentence[1:]
