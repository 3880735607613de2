"""What engines have in common: the protocol, plain values, and handles."""

from __future__ import annotations

import asyncio
import inspect
import subprocess
import sys
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from sequential_engine import SequentialEngine

from llink_ray.engine import (
    Answer,
    DecoderEngine,
    FinishInfo,
    PromptInput,
    RequestHandle,
    StreamEvent,
    Usage,
)
from llink_ray.engine.batched_engine import BatchedEngine
from llink_ray.errors import LlinkError

ENGINES: list[type[DecoderEngine]] = [BatchedEngine, SequentialEngine]
END = StreamEvent(" b", finish=FinishInfo("stop", Usage(3, 2)))


@pytest.mark.parametrize("engine", ENGINES)
def test_engines_have_every_member_of_the_protocol(engine: type[Any]) -> None:
    members = [name for name in vars(DecoderEngine) if not name.startswith("_")]
    assert len(members) >= 12
    for name in members:
        declared, defined = getattr(DecoderEngine, name), getattr(engine, name)
        assert isinstance(declared, property) == isinstance(defined, property), name
        if not isinstance(declared, property):
            assert [*inspect.signature(declared).parameters] == [*inspect.signature(defined).parameters]


def test_the_protocol_needs_numpy_alone() -> None:
    """An engine's process in another environment can unpickle what it is sent."""
    code = """
import sys
for name in ("pycld2", "torch", "transformers", "peft", "pydantic", "regex", "yaml", "langcodes", "ray"):
    sys.modules[name] = None
import pickle, numpy
from llink_ray import engine
from llink_ray.engine.vocabulary import Vocabulary
request = engine.EngineRequest(engine.PromptInput((1, -1), numpy.ones((1, 4), "float32")), "bo", timeout=2.0)
assert pickle.loads(pickle.dumps(request)).prompt.token_mask.tolist() == [True, False]
"""
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert ended.returncode == 0, ended.stderr


@pytest.mark.parametrize(
    ("prompt", "message"),
    [
        (PromptInput(()), "empty"),
        (PromptInput((1, -1, -1)), "2 slot places and 0 slots"),
        (PromptInput((1,), np.zeros((1, 4), np.float32)), "0 slot places and 1 slots"),
        (PromptInput((-1,), np.zeros((1, 5), np.float32)), r"slots are of shape \(1, 5\)"),
        (PromptInput((-1,), np.zeros((1, 1, 4), np.float32)), "slots are of shape"),
        (PromptInput((-1,), np.full((1, 4), np.nan, np.float32)), "not finite"),
        (PromptInput((1, 9)), "token ids are 0 to 8"),
        (PromptInput((1, -2)), "token ids are 0 to 8"),
    ],
)
def test_prompts_that_no_decoder_reads(prompt: PromptInput, message: str) -> None:
    with pytest.raises(LlinkError, match=message):
        prompt.check(hidden_size=4, vocab_size=9)


def published(handle: RequestHandle, *events: StreamEvent) -> threading.Timer:
    def publish() -> None:
        for event in events:
            handle.publish(event)

    timer = threading.Timer(0.02, publish)
    timer.start()
    return timer


@pytest.mark.parametrize("before", [True, False])
def test_waiting_for_the_whole_answer(before: bool) -> None:
    """Also where it came before somebody waits."""
    handle = RequestHandle()
    timer = published(handle, StreamEvent("a"), END)
    if before:
        timer.join()
    assert asyncio.run(handle.wait()) == Answer("a b", (), END.finish)  # type: ignore[arg-type]


def test_leaving_a_wait_cancels_once() -> None:
    cancels = []
    handle = RequestHandle(on_cancel=lambda: cancels.append(1))

    async def leave() -> None:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(handle.wait(), 0.02)

    asyncio.run(leave())
    handle.cancel()
    assert handle.cancelled and cancels == [1]


@pytest.mark.parametrize("leave", [lambda handle: handle.cancel(), lambda handle: handle.result(0)])
def test_a_cancel_behind_the_end_is_not_told_to_the_engine(leave: Callable[[RequestHandle], Any]) -> None:
    handle = RequestHandle(on_cancel=lambda: pytest.fail("it has ended"))
    handle.publish(END)
    leave(handle)
