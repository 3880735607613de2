from __future__ import annotations

import asyncio
from collections.abc import Sequence

import numpy as np
import pytest

from llink_ray.errors import LlinkError
from serve.gathered import Gathered
from serve.values import BundleRef, Read

REF = BundleRef("bo", "v0001", "c0ffee")
Wanted = Sequence[tuple[BundleRef, str]]


class Calls:
    """Says of each text how long it is, in slots; knows long ones already; refuses ``bad``."""

    def __init__(self) -> None:
        self.seen: list[list[str]] = []

    async def read(self, wanted: Wanted) -> Read:
        texts = [text for _, text in wanted]
        self.seen.append(texts)
        await asyncio.sleep(0.01)
        if "bad" in texts:
            raise LlinkError("bad")
        return Read([np.full((1, 1), len(t), np.float32) for t in texts], [len(t) > 3 for t in texts])


def test_whoever_asks_meanwhile_goes_along_and_gets_what_is_his() -> None:
    calls = Calls()

    async def ask() -> list[Read]:
        gathered = Gathered(calls.read, lanes=1, most=8)
        return await asyncio.gather(*(gathered([(REF, "x" * n), (REF, "yy")]) for n in range(1, 8)))

    told = asyncio.run(ask())
    for n, read in zip(range(1, 8), told, strict=True):
        assert [float(slots[0, 0]) for slots in read.slots] == [n, 2] and read.known == [n > 3, False]
    assert [len(texts) for texts in calls.seen] == [8, 6], "seven requests, of which four fit into a call"


def test_one_that_fails_fails_alone() -> None:
    calls = Calls()

    async def ask() -> list[object]:
        gathered = Gathered(calls.read, lanes=1)
        asked = (gathered([(REF, text)]) for text in ("a", "bad", "b"))
        found: list[object] = await asyncio.gather(*asked, return_exceptions=True)
        with pytest.raises(LlinkError):
            await gathered([(REF, "bad")])
        assert (await gathered([(REF, "c")])).known == [False]
        return found

    first, second, third = asyncio.run(ask())
    assert isinstance(first, Read) and isinstance(second, LlinkError) and isinstance(third, Read)


def test_one_that_has_gone_is_not_read_and_lanes_run_side_by_side() -> None:
    calls = Calls()

    async def ask() -> None:
        gathered = Gathered(calls.read, lanes=2, most=1)
        tasks = [asyncio.ensure_future(gathered([(REF, text)])) for text in "abcd"]
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert calls.seen == [["a"], ["b"]]
        tasks[2].cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for text in "efgh":  # and after a rest
            await gathered([(REF, text)])

    asyncio.run(ask())
    assert [text for (text,) in calls.seen] == list("abdefgh")
