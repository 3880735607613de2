"""Prompt tokens of a message as raw text and with slots."""

from __future__ import annotations

from collections.abc import Sequence


def token_cost(raw: Sequence[int], slots: Sequence[int]) -> dict[str, float | int | None]:
    """Mean prompt tokens a message: ``raw``, ``slots``, ``ratio`` (of the means) and ``count``.

    ``raw[i]`` and ``slots[i]`` are the lengths of message i's whole prompt in both forms, instruction and
    numerals included. Without messages the means are None; without slot tokens so is the ratio.
    """
    if len(raw) != len(slots):
        raise ValueError(f"token counts of {len(raw)} raw and {len(slots)} slot prompts do not pair up")
    count = len(raw)
    if not count:
        return {"raw": None, "slots": None, "ratio": None, "count": 0}
    total_raw, total_slots = sum(raw), sum(slots)
    ratio = total_raw / total_slots if total_slots else None
    return {"raw": total_raw / count, "slots": total_slots / count, "ratio": ratio, "count": count}
