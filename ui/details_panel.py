"""The panel below an answer: how the text was read, what it cost, what the answer depends on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from llink_ray.text.languages import language_of
from ui.escape import escape

_EXCERPT_CHARACTERS = 60


def details_panel(metadata: Mapping[str, Any], question: str, last: bool) -> str:
    """The closed panel of one answer to ``question``; ``last`` marks the newest."""
    facts = _facts(metadata)
    if not facts:
        return ""
    llink = metadata.get("llink") or {}
    grounding = str((llink.get("grounding") or {}).get("sentence") or "")
    summary = (
        f'<span class="llink-leaning">{escape(grounding[:1].upper() + grounding[1:])}.</span>'
        if grounding
        else ""
    )
    rows = "".join(f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in facts.items())
    element_id = ' id="llink-panel"' if last else ""
    return (
        f'<details class="llink-panel"{element_id}><summary>What the model saw {summary}</summary>'
        f'{_spans_table(llink.get("spans") or (), question)}<dl class="llink-facts">{rows}</dl></details>'
    )


def _facts(metadata: Mapping[str, Any]) -> dict[str, str]:
    llink, facts = metadata.get("llink") or {}, dict[str, str]()
    if "slots" in llink:
        count, hits = int(llink.get("sentences") or 0), int(llink.get("slot_cache_hits") or 0)
        sentences = f"{count} foreign sentence{'' if count == 1 else 's'}"
        cached = f", {hits} of them known from before" if hits else ""
        facts["Slots"] = f"{llink['slots']}, marks included, for {sentences}{cached}"
    if numerals := [n for span in llink.get("spans") or () for n in span.get("numerals") or ()]:
        facts["Numerals beside them"] = ", ".join(map(str, numerals))
    tokens, raw_tokens = llink.get("prompt_tokens"), llink.get("prompt_tokens_raw")
    if tokens is not None and raw_tokens:
        saving = f": {1 - tokens / raw_tokens:.0%} fewer" if tokens < raw_tokens else ""
        facts["Tokens of the prompt"] = f"{tokens} fed, {raw_tokens} as plain text{saving}"
    if (answer_tokens := (metadata.get("usage") or {}).get("completion_tokens")) is not None:
        facts["Tokens of the answer"] = str(answer_tokens)
    if (first_token := metadata.get("first_token")) is not None:
        facts["Time to the first token"] = f"{float(first_token) * 1000:.0f} ms"
    if speed := metadata.get("tokens_per_second"):
        facts["Tokens per second"] = f"{float(speed):.0f}"
    if grounding := llink.get("grounding"):
        nats = float(grounding.get("nats") or 0)
        facts["Grounding"] = f"{nats:+.2f} nats a token: {grounding.get('sentence') or ''}"
    if bundles := llink.get("bundles"):
        facts["Bundles"] = ", ".join(f"{_name(code)} {b.get('version', '')}" for code, b in bundles.items())
    if "adapter" in llink:
        adapter = llink["adapter"]
        facts["Adapter"] = _name(adapter) if adapter else "none: the decoder as it came"
    if llink.get("instruction_added"):
        facts["Instruction"] = "one was added, since the message had none"
    if model := metadata.get("model"):
        facts["Model"] = str(model)
    return facts


def _spans_table(spans: Sequence[Mapping[str, Any]], question: str) -> str:
    """The spans of the last message."""
    if not spans:
        return ""
    last = max(int(span.get("message") or 0) for span in spans)
    rows = list[str]()
    for span in spans:
        if int(span.get("message") or 0) != last:
            continue
        text = question[int(span.get("start") or 0) : int(span.get("end") or 0)].strip()
        excerpt = text if len(text) <= _EXCERPT_CHARACTERS else f"{text[:_EXCERPT_CHARACTERS]}…"
        code = span.get("language")
        language = language_of(code)
        attributes = f' lang="{escape(str(code))}" dir="{language.direction}"' if language else ""
        slots = int(span.get("slots") or 0)
        outside = ", unlike the training text" if span.get("outside") else ""
        rows.append(
            f"<tr><td{attributes}>{escape(excerpt)}</td><td>{escape(_name(code))}</td>"
            f"<td>{float(span.get('confidence') or 0):.0%}</td>"
            f"<td>{f'{slots} slots' if slots else 'text'}{outside}</td></tr>"
        )
    header = "<tr><th>Stretch</th><th>Language</th><th>Sure</th><th>Read as</th></tr>"
    return f'<table class="llink-stretches"><thead>{header}</thead><tbody>{"".join(rows)}</tbody></table>'


def _name(code: Any) -> str:
    language = language_of(code)
    return language.name if language else str(code or "none known")
