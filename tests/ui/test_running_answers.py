"""Answers on their way: all of them at once, stopped, broken off, left."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Coroutine
from contextlib import aclosing
from typing import Any

import pytest

from ui.api_client import ApiError, Completion, TextDelta
from ui.running_answers import RunningAnswer, RunningTasks

DONE = Completion("one two", "stop", {"completion_tokens": 2}, {"slots": 8}, 0.1, 20.0)


class Source:
    """Words, and then an end of some kind; knows whether it was closed."""

    def __init__(self, *events: TextDelta | Completion | ApiError, endless: bool = False) -> None:
        self.events, self.endless, self.closed = events, endless, False

    async def stream(self) -> AsyncGenerator[TextDelta | Completion, None]:
        try:
            for event in self.events:
                await asyncio.sleep(0)
                if isinstance(event, ApiError):
                    raise event
                yield event
            if self.endless:
                await asyncio.Event().wait()
        finally:
            self.closed = True


def run(test: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(test, 30))


def test_two_answers_come_at_once() -> None:
    async def both() -> None:
        answers = [RunningAnswer(Source(TextDelta("one"), TextDelta(" two"), DONE).stream) for _ in range(2)]
        running, changes = RunningTasks([answer.run for answer in answers]), 0
        async with aclosing(running.changes()) as changes_iter:
            async for _ in changes_iter:
                changes += 1
        assert changes and [answer.text for answer in answers] == ["one two"] * 2
        assert answers[0].metadata is not None and answers[0].metadata["llink"] == {"slots": 8}

    run(both())


def test_stop_keeps_what_arrived_and_closes_the_stream() -> None:
    async def stopped() -> None:
        source = Source(TextDelta("one"), endless=True)
        answer = RunningAnswer(source.stream)
        running = RunningTasks([answer.run])
        async with aclosing(running.changes()) as changes_iter:
            async for _ in changes_iter:
                if answer.text:
                    running.stop()
        assert (answer.text, answer.stopped, answer.completion, source.closed) == ("one", True, None, True)

    run(stopped())


def test_an_answer_that_breaks_off_keeps_its_words_and_its_reason() -> None:
    async def broken() -> None:
        error = ApiError("the API is gone: press Retry", "interrupted")
        answer = RunningAnswer(Source(TextDelta("one"), error).stream)
        running = RunningTasks([answer.run])
        async with aclosing(running.changes()) as changes_iter:
            async for _ in changes_iter:
                pass
        assert (answer.text, answer.error, answer.stopped) == ("one", error, False)

    run(broken())


def test_who_leaves_ends_everything() -> None:
    async def left() -> None:
        source = Source(TextDelta("one"), endless=True)
        running = RunningTasks([RunningAnswer(source.stream).run])
        async with aclosing(running.changes()) as changes_iter:
            await anext(changes_iter)
        await running.close()
        assert source.closed

    run(left())


def test_a_fault_of_ours_is_not_hidden() -> None:
    async def fault() -> None:
        async def work(changed: Callable[[], None]) -> None:
            raise RuntimeError("ours")

        running = RunningTasks([work])
        with pytest.raises(RuntimeError, match="ours"):
            async with aclosing(running.changes()) as changes_iter:
                async for _ in changes_iter:
                    pass
        await running.close()

    run(fault())
