"""Fingerprint of a bundle's training text, which recognises the text without containing it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from hashlib import blake2b
from pathlib import Path

import numpy as np
import numpy.typing as npt

from llink_ray.corpus.minhash import MinHashIndex, signatures
from llink_ray.corpus.pair import Pair
from llink_ray.corpus.sentence_key import sentence_key
from llink_ray.storage.tensor_file import open_versioned

FILE = "training_text.safetensors"
"""Its name in a bundle."""
VERSION = "1"
"""Of the file; counts up when hashes or signatures are made in another way."""
MIN_SIMILARITY = 0.7
"""Estimated Jaccard similarity of the English of near-duplicates."""

Hashes = npt.NDArray[np.uint64]


@dataclass(frozen=True, eq=False)
class SeenText:
    """Hashes of sentences, and MinHash signatures of the English; no text.

    A pair is a near-duplicate of a seen one if either side is the same sentence (whatever its case,
    punctuation, spaces and digits), or if the English shares most of its character 4-grams.

    Measured on 47 000 Nepali pairs of real text, by ``benchmarks/seen_text.py``: known sentences are found
    with certainty after changes of case, punctuation and digits. With the foreign side exchanged and a
    letter changed, .95 are found, with a word dropped .93, with a word replaced .86 (.99 of sentences of 16
    words and more, .09 of those below 8, where a word makes another sentence), with two .55. Of 5 249 other
    pairs, none of which shares a sentence with a known one, 164 are told to be near-duplicates, 142 of them
    (.87) are so by their letters, and the rest are long quotations of known sentences and short phrases of
    like words. From .8 on, .64 of sentences with a word replaced would be found, and 101 pairs be told (.97
    rightly): an evaluation loses less by leaving out a few too many.

    It takes 77 bytes a pair.
    """

    sentences: Hashes
    """(s,) 64-bit hashes of the sentences of both sides, sorted."""
    english: npt.NDArray[np.uint8]
    """(n, 64) signatures of the distinct English sentences."""

    @classmethod
    def of(cls, pairs: Iterable[Pair]) -> SeenText:
        """The fingerprint of ``pairs``."""
        foreign, english = set[str](), set[str]()
        for pair in pairs:
            foreign.add(_key(pair.foreign))
            english.add(_key(pair.english))
        ordered = sorted(english)
        return cls(np.unique(_hashes(sorted(foreign) + ordered)), signatures(ordered))

    def save(self, folder: Path) -> None:
        """Write ``training_text.safetensors``."""
        from safetensors.numpy import save_file

        tensors = {"sentences": self.sentences, "english": self.english}
        save_file(tensors, folder / FILE, metadata={"version": VERSION})

    @classmethod
    def load(cls, folder: Path) -> SeenText | None:
        """The fingerprint in a bundle; None where it has none.

        Raises:
            LlinkError: damaged, or of another version.
        """
        file = Path(folder) / FILE
        if not file.is_file():
            return None
        with open_versioned(file, VERSION, "numpy") as tensors:
            return cls(tensors.get_tensor("sentences"), tensors.get_tensor("english"))

    def is_near_duplicate(self, pair: Pair) -> bool:
        """Whether ``pair``, or nearly that pair, was trained on."""
        return bool(self.near_duplicates([pair])[0])

    def near_duplicates(self, pairs: Sequence[Pair]) -> npt.NDArray[np.bool_]:
        """(n,) the same for many pairs at once, which is much faster."""
        english = [_key(pair.english) for pair in pairs]
        seen: npt.NDArray[np.bool_] = self._is_known(english) | self._is_known(
            [_key(pair.foreign) for pair in pairs]
        )
        rest = np.flatnonzero(~seen)
        seen[rest] = self._index.any_similar(signatures([english[i] for i in rest]), MIN_SIMILARITY)
        return seen

    def _is_known(self, keys: Sequence[str]) -> npt.NDArray[np.bool_]:
        hashes = _hashes(keys)
        if not len(self.sentences):
            return np.zeros(len(hashes), bool)
        nearest = np.minimum(np.searchsorted(self.sentences, hashes), len(self.sentences) - 1)
        known: npt.NDArray[np.bool_] = self.sentences[nearest] == hashes
        return known

    @cached_property
    def _index(self) -> MinHashIndex:
        return MinHashIndex(self.english)


def _key(text: str) -> str:
    """The sentence without digits, so that another number does not make it another sentence."""
    key = sentence_key(text)
    return "".join(letter for letter in key if not letter.isdecimal() and letter != " ") or key or text


def _hashes(keys: Sequence[str]) -> Hashes:
    """(n,) 64 bits of BLAKE2b of each key."""
    joined = b"".join(blake2b(key.encode("utf-8", "surrogatepass"), digest_size=8).digest() for key in keys)
    return np.frombuffer(joined, dtype="<u8").astype(np.uint64)
