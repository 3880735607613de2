"""MinHash signatures of texts by their character n-grams, and an index that finds the like ones."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

GRAM = 4
"""Characters in one n-gram; a shorter text is one n-gram."""
WIDTH = 64
"""Bytes of a signature. 64 minima of 8 bits tell more than 16 of 32 bits, in the same room:
two different minima look alike by chance one time in 256, which the estimate takes into account."""
BAND = 4
"""Bytes that have to agree for two texts to be compared at all; of texts alike by .7, 16 such bands
miss one in eighty."""
_CHUNK = 1_024
"""Texts signed at a time, so that the n-grams stay in the processor's cache."""
_COMPARED = 1 << 18
"""Signatures compared at a time: 16 MB."""

Signatures = npt.NDArray[np.uint8]


def _mixed(values: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """splitmix64's finaliser: every bit of the result depends on every bit of the value."""
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))


# Written out, not drawn: signatures in a bundle must mean the same with any version of numpy.
_SEEDS = _mixed(np.arange(1, 2 * WIDTH + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15))
_FACTORS = _SEEDS[:WIDTH].astype(np.uint32) | np.uint32(1)
_OFFSETS = _SEEDS[WIDTH:].astype(np.uint32)


def signatures(texts: Sequence[str]) -> Signatures:
    """(n, WIDTH) signatures; two of them agree in about that share of their bytes the texts share."""
    parts = [_signed(texts[i : i + _CHUNK]) for i in range(0, len(texts), _CHUNK)]
    return np.concatenate(parts) if parts else np.zeros((0, WIDTH), np.uint8)


def _signed(texts: Sequence[str]) -> Signatures:
    grams, starts = _grams(texts)
    found = np.empty((len(texts), WIDTH), np.uint8)
    for i in range(WIDTH):
        hashed = grams * _FACTORS[i] + _OFFSETS[i]  # modulo 2**32
        smallest = np.minimum.reduceat(hashed, starts)
        # The high bits of a minimum are nearly all 0: mixed, any 8 bits will do.
        found[:, i] = ((smallest ^ (smallest >> np.uint32(15))) * np.uint32(0x9E3779B1)) >> np.uint32(24)
    return found


def _grams(texts: Sequence[str]) -> tuple[npt.NDArray[np.uint32], npt.NDArray[np.int64]]:
    """Hashes of the n-grams of all texts in a row, and where each text's begin."""
    padded = [text.ljust(GRAM, "\0") for text in texts]
    lengths = np.array([len(text) for text in padded])
    letters = np.frombuffer("".join(padded).encode("utf-32-le", "surrogatepass"), "<u4").astype(np.uint64)
    hashed = np.zeros(len(letters) - GRAM + 1, np.uint64)
    for i in range(GRAM):
        hashed = hashed * np.uint64(0x100000001B3) + letters[i : i + len(hashed)]
    ends = np.cumsum(lengths)
    crossing = (ends[:-1, None] - np.arange(1, GRAM)).ravel()  # n-grams that reach into the next text
    whole = np.ones(len(hashed), bool)
    whole[crossing] = False
    starts = ends - lengths - (GRAM - 1) * np.arange(len(padded))
    return (_mixed(hashed[whole]) >> np.uint64(32)).astype(np.uint32), starts


class Index:
    """Signatures in order of each of their bands."""

    def __init__(self, known: Signatures) -> None:
        self._known = np.unique(known, axis=0) if len(known) else known
        bands = _bands(self._known)
        self._orders = np.argsort(bands, axis=0, kind="stable").astype(np.int32)
        self._sorted = np.take_along_axis(bands, self._orders, axis=0)

    def any_alike(self, asked: Signatures, least: float) -> npt.NDArray[np.bool_]:
        """(n,) of each that is asked, whether some known one is alike by ``least`` (estimated Jaccard)."""
        by_chance = 1 / 256
        agreeing = WIDTH * (by_chance + (1 - by_chance) * least)
        found = np.zeros(len(asked), bool)
        if not len(self._known):
            return found
        for band, wanted in enumerate(_bands(asked).T):
            for rows, places in self._candidates(band, wanted, np.flatnonzero(~found)):
                same = (asked[rows] == self._known[self._orders[places, band]]).sum(1)
                found[rows[same >= agreeing]] = True
        return found

    def _candidates(
        self, band: int, wanted: npt.NDArray[np.uint32], left: npt.NDArray[np.intp]
    ) -> Iterator[tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]]:
        """(rows asked, places in the band's order) that agree in this band, so many at a time."""
        ordered = self._sorted[:, band]
        first = np.searchsorted(ordered, wanted[left], "left")
        counts = np.searchsorted(ordered, wanted[left], "right") - first
        ends = np.cumsum(counts)
        total = int(ends[-1]) if len(ends) else 0
        for start in range(0, total, _COMPARED):
            numbers = np.arange(start, min(start + _COMPARED, total))
            which = np.searchsorted(ends, numbers, "right")
            yield left[which], first[which] + numbers - (ends[which] - counts[which])


def _bands(signed: Signatures) -> npt.NDArray[np.uint32]:
    """(n, WIDTH / BAND) the bytes of each band as one number."""
    return np.ascontiguousarray(signed).view("<u4")
