"""In words, how an answer depends on its text, and whether its bundle knows such text at all."""

from __future__ import annotations

MUCH, HARDLY = 0.5, 0.05
"""Nats a token by which an answer is much likelier with its text than without it, and is hardly so."""


def in_words(nats: float, numerals: bool, outside: bool) -> str:
    """What was measured, and no more: an answer that depends on its text may be wrong all the same.

    Args:
        nats: by which a token of the answer is likelier with its slots than with zeros in their places.
        numerals: numerals stand beside the slots.
        outside: some of the text is unlike the training text.
    """
    if nats >= MUCH:
        said = "with your text this answer is much likelier than without it"
        return f"{said}, but the text is unlike the training text" if outside else f"{said}, right or wrong"
    if nats <= HARDLY:
        alone = (
            "the numbers of your text alone would give much the same answer"  # they stand beside the slots
        )
        return alone if numerals else "this answer would be much the same without your text"
    return "with your text this answer is a little likelier than without it"


def unlike_training(count: int, of: int) -> str:
    """That what is said of ``count`` of a conversation's foreign sentences may be made up."""
    which = "the text is" if count == of else f"{count} of {of} foreign sentences are"
    return (
        f"{which} unlike all that this model was trained on (further off, as its encoder sees it, than 199 "
        "of 200 sentences of that kind): the answer may well be made up"
    )
