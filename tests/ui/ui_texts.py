"""What the tests write."""

from __future__ import annotations

from llink_ray.corpus import phrasebook
from llink_ray.text.languages import find

EMBEDDED = ("bo", "km", "am", "ka")
SENTENCES = {code: phrasebook.pairs(code, 1, seed=5)[0].foreign for code in EMBEDDED}
HEBREW = "הכלב הגדול רץ בגן הירוק ליד הבית."
"""Its bundle goes on and on."""
RUSSIAN = "Кто продал лошадей на старом рынке?"
"""Nobody taught it."""
OWN = {code: find(code).own_name for code in (*EMBEDDED, "he")}


def asked(code: str) -> str:
    """A question on a sentence of a language."""
    return f"Translate this into English. {SENTENCES[code]}"


MIXED = f"Translate this into English. {SENTENCES['bo']} {SENTENCES['ka']}"
