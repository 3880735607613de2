"""MinHash signatures of texts over character n-grams, and an index of similar texts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

NGRAM = 4
"""Characters in one n-gram; a shorter text is one n-gram."""
WIDTH = 64
"""Bytes of a signature. 64 minima of 8 bits estimate better than 16 of 32 bits in the same space; different
minima agree by chance one time in 256, which the estimate corrects."""
BAND = 4
"""Bytes that must agree for two texts to be compared; of texts with similarity .7, 16 such bands miss one in
eighty."""
_CHUNK = 1_024
"""Texts per step, so that the n-grams stay in the processor's cache."""
_COMPARED = 1 << 18
"""Signatures compared per step: 16 MB."""

Signatures = npt.NDArray[np.uint8]


def _mixed(values: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """splitmix64's finaliser: every bit of the result depends on every bit of the value."""
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))


# Computed, not drawn: signatures in a bundle must not depend on numpy's generators.
_SEEDS = _mixed(np.arange(1, 2 * WIDTH + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15))
_FACTORS = _SEEDS[:WIDTH].astype(np.uint32) | np.uint32(1)
_OFFSETS = _SEEDS[WIDTH:].astype(np.uint32)


def signatures(texts: Sequence[str]) -> Signatures:
    """(n, WIDTH) uint8; two agree in a share of bytes that estimates the texts' Jaccard similarity."""
    parts = [_sign(texts[i : i + _CHUNK]) for i in range(0, len(texts), _CHUNK)]
    return np.concatenate(parts) if parts else np.zeros((0, WIDTH), np.uint8)


def _sign(texts: Sequence[str]) -> Signatures:
    ngrams, starts = _ngram_hashes(texts)
    signed = np.empty((len(texts), WIDTH), np.uint8)
    for i in range(WIDTH):
        hashed = ngrams * _FACTORS[i] + _OFFSETS[i]  # modulo 2**32
        smallest = np.minimum.reduceat(hashed, starts)
        # The high bits of a minimum are nearly all 0, so they are mixed before 8 of them are kept.
        signed[:, i] = ((smallest ^ (smallest >> np.uint32(15))) * np.uint32(0x9E3779B1)) >> np.uint32(24)
    return signed


def _ngram_hashes(texts: Sequence[str]) -> tuple[npt.NDArray[np.uint32], npt.NDArray[np.int64]]:
    """Hashes of the n-grams of all texts in a row, and the index at which each text's begin."""
    padded = [text.ljust(NGRAM, "\0") for text in texts]
    lengths = np.array([len(text) for text in padded])
    letters = np.frombuffer("".join(padded).encode("utf-32-le", "surrogatepass"), "<u4").astype(np.uint64)
    hashed = np.zeros(len(letters) - NGRAM + 1, np.uint64)
    for i in range(NGRAM):
        hashed = hashed * np.uint64(0x100000001B3) + letters[i : i + len(hashed)]
    ends = np.cumsum(lengths)
    crossing = (ends[:-1, None] - np.arange(1, NGRAM)).ravel()  # n-grams that reach into the next text
    whole = np.ones(len(hashed), bool)
    whole[crossing] = False
    starts = ends - lengths - (NGRAM - 1) * np.arange(len(padded))
    return (_mixed(hashed[whole]) >> np.uint64(32)).astype(np.uint32), starts


class MinHashIndex:
    """Signatures sorted by each band."""

    def __init__(self, known: Signatures) -> None:
        self._known = np.unique(known, axis=0) if len(known) else known
        bands = _bands(self._known)
        self._orders = np.argsort(bands, axis=0, kind="stable").astype(np.int32)
        self._sorted = np.take_along_axis(bands, self._orders, axis=0)

    def any_similar(self, queries: Signatures, min_similarity: float) -> npt.NDArray[np.bool_]:
        """(n,) whether a known signature has at least this estimated Jaccard similarity to each query."""
        by_chance = 1 / 256
        agreeing = WIDTH * (by_chance + (1 - by_chance) * min_similarity)
        similar = np.zeros(len(queries), bool)
        if not len(self._known):
            return similar
        for band, query_bands in enumerate(_bands(queries).T):
            for rows, positions in self._candidates(band, query_bands, np.flatnonzero(~similar)):
                same = (queries[rows] == self._known[self._orders[positions, band]]).sum(1)
                similar[rows[same >= agreeing]] = True
        return similar

    def _candidates(
        self, band: int, query_bands: npt.NDArray[np.uint32], rest: npt.NDArray[np.intp]
    ) -> Iterator[tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]]:
        """(query rows, positions in the band's order) that agree in this band, chunk by chunk."""
        ordered = self._sorted[:, band]
        first = np.searchsorted(ordered, query_bands[rest], "left")
        counts = np.searchsorted(ordered, query_bands[rest], "right") - first
        ends = np.cumsum(counts)
        total = int(ends[-1]) if len(ends) else 0
        for start in range(0, total, _COMPARED):
            numbers = np.arange(start, min(start + _COMPARED, total))
            which = np.searchsorted(ends, numbers, "right")
            yield rest[which], first[which] + numbers - (ends[which] - counts[which])


def _bands(signed: Signatures) -> npt.NDArray[np.uint32]:
    """(n, WIDTH / BAND) the bytes of each band as one uint32."""
    return np.ascontiguousarray(signed).view("<u4")
