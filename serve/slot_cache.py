"""Slots of texts that were read before, bounded by bytes."""

from __future__ import annotations

from collections import OrderedDict

from serve.rpc_types import BundleRef, EncodedText

_OVERHEAD = 256
"""Bytes that an entry costs beside its slots and its text."""


class SlotCache:
    """(bundle, text) -> what was made of it; the one that was not asked for longest leaves first."""

    def __init__(self, most_bytes: int) -> None:
        self._most = most_bytes
        self._kept: OrderedDict[tuple[BundleRef, str], EncodedText] = OrderedDict()
        self.bytes = 0
        """What it holds."""

    def get(self, ref: BundleRef, text: str) -> EncodedText | None:
        """What was made of it, or None."""
        found = self._kept.get((ref, text))
        if found is not None:
            self._kept.move_to_end((ref, text))
        return found

    def put(self, ref: BundleRef, text: str, read: EncodedText) -> None:
        """Keep it; an entry larger than the whole cache is not kept."""
        size = self._size(text, read)
        if size > self._most or (ref, text) in self._kept:
            return
        self._kept[ref, text] = read
        self.bytes += size
        while self.bytes > self._most:
            (_, oldest), dropped = self._kept.popitem(last=False)
            self.bytes -= self._size(oldest, dropped)

    @staticmethod
    def _size(text: str, read: EncodedText) -> int:
        return read.slots.nbytes + 4 * len(text) + _OVERHEAD

    def __len__(self) -> int:
        return len(self._kept)
