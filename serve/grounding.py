"""Sentences on how much an answer depends on its text, and whether its bundle knows such text."""

from __future__ import annotations

STRONG, WEAK = 0.5, 0.05
"""Nats a token: from the first an answer depends on its text, up to the second hardly."""


def describe_grounding(nats: float, numerals: bool, outside: bool) -> str:
    """What was measured, and no more: an answer that depends on its text may be wrong all the same.

    Args:
        nats: how much likelier a token of the answer is with its slots than with zeros in their places.
        numerals: numerals stand beside the slots.
        outside: some of the text is unlike the training text.
    """
    if nats >= STRONG:
        sentence = "with your text this answer is much likelier than without it"
        return (
            f"{sentence}, but the text is unlike the training text"
            if outside
            else f"{sentence}, right or wrong"
        )
    if nats <= WEAK:
        if numerals:
            return "the numbers of your text alone would give much the same answer"
        return "this answer would be much the same without your text"
    return "with your text this answer is a little likelier than without it"


def describe_outside(outside_count: int, total: int) -> str:
    """That some of a conversation's foreign sentences are unlike the training text."""
    which = "the text is" if outside_count == total else f"{outside_count} of {total} foreign sentences are"
    return (
        f"{which} unlike all that this model was trained on (further off, as its encoder sees it, than 199 "
        "of 200 sentences of that kind): the answer may well be made up"
    )
