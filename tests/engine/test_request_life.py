"""Requests come, go, fail and are refused without a word to the others."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from engine_fixtures import ASKED, LONGEST, TrainedLanguage, base, drain, engine_for, same
from model_zoo import write_decoder

from llink_ray.engine import (
    EngineLimits,
    EngineRequest,
    PromptInput,
    QueueFull,
    SamplingParams,
    StreamEvent,
)
from llink_ray.engine.batched_engine import BatchedEngine
from llink_ray.errors import LlinkError
from llink_ray.models.decoder import Decoder

ANSWER = [40, 41, 42]


@pytest.fixture
def wordy_languages(languages_on: Callable[[str], list[TrainedLanguage]]) -> list[TrainedLanguage]:
    """Languages on a random decoder, which seldom ends by itself."""
    return languages_on("gpt-neox")


@pytest.fixture
def running(wordy_languages: list[TrainedLanguage]) -> Iterator[BatchedEngine]:
    engine = engine_for(wordy_languages)
    engine.start()
    yield engine
    engine.stop()


def long(one: TrainedLanguage, place: int = 0, **more: Any) -> EngineRequest:
    asked = one.ask(*ASKED[place], max_tokens=60)
    return EngineRequest(asked.prompt, asked.adapter, asked.sampling, **more)


def test_a_cancelled_request_leaves_within_a_token(wordy_languages: list[TrainedLanguage]) -> None:
    engine = engine_for(wordy_languages)
    gone, stays = engine.submit(long(wordy_languages[0])), engine.submit(long(wordy_languages[1], 1))
    never = engine_for(wordy_languages, rows=1)
    first, waits = never.submit(long(wordy_languages[0])), never.submit(long(wordy_languages[1]))
    for _ in range(3):
        engine.step()
        never.step()
    gone.cancel()
    waits.cancel()
    before = engine.snapshot().tokens
    assert engine.snapshot().running == 2
    engine.step()
    never.step()
    assert engine.snapshot().running == 1 and engine.snapshot().tokens == before + 1
    done = gone.result(0).finish
    assert done.reason == "cancelled" and done.usage.completion_tokens == 4 and done.usage.prompt_tokens > 0
    assert engine.snapshot().cancels == 1
    drain(engine)
    alone = engine.submit(long(wordy_languages[1], 1))
    drain(engine)
    assert stays.result(0) == alone.result(0)
    assert waits.result(0).finish.reason == "cancelled" and never.snapshot().waiting == 0
    assert waits.finish is not None and waits.finish.usage.prompt_tokens == 0  # never fed
    assert first.finish is None
    gone.cancel()  # twice does no harm
    assert engine.snapshot().cancels == 1


def test_leaving_the_iteration_cancels(wordy_languages: list[TrainedLanguage]) -> None:
    engine = engine_for(wordy_languages)
    handle = engine.submit(long(wordy_languages[0]))
    engine.step()
    for _ in handle:
        break
    engine.step()
    assert engine.snapshot().running == 0 and engine.snapshot().cancels == 1


def test_deadlines(wordy_languages: list[TrainedLanguage]) -> None:
    now = 100.0
    engine = BatchedEngine(
        Decoder.load(wordy_languages[0].pipeline.settings.decoder), EngineLimits(rows=1), lambda: now
    )
    for one in wordy_languages:
        engine.load_adapter(one.name, one.lora)
    late = engine.submit(long(wordy_languages[0], timeout=5.0))
    waits = engine.submit(long(wordy_languages[1], timeout=4.0))
    after = engine.submit(long(wordy_languages[2]))
    engine.step()
    engine.step()
    now = 104.0
    engine.step()
    assert waits.finish is not None and waits.finish.reason == "deadline" and late.finish is None
    now = 105.0
    engine.step()
    answer = late.result(0)
    assert answer.finish.reason == "deadline" and answer.finish.usage.completion_tokens == 4
    drain(engine)
    assert after.result(0).finish.reason in ("length", "stop")


def test_a_full_queue_says_so(wordy_languages: list[TrainedLanguage]) -> None:
    engine = engine_for(wordy_languages, rows=1, waiting=2)
    for _ in range(2):
        engine.submit(long(wordy_languages[0]))
    with pytest.raises(QueueFull, match="2 requests are waiting already"):
        engine.submit(long(wordy_languages[0]))
    engine.step()
    engine.submit(long(wordy_languages[0]))
    assert engine.snapshot().waiting == 2 and engine.snapshot().running == 1


def test_a_request_that_makes_no_numbers_fails_alone(
    engine: BatchedEngine, languages: list[TrainedLanguage], monkeypatch: pytest.MonkeyPatch
) -> None:
    forward = engine.decoder.model.forward

    def overflows(*given: Any, **named: Any) -> Any:
        output = forward(*given, **named)
        if engine.pool._active is not None:
            output.logits[engine.pool._active == km] = float("nan")
        return output

    km = engine.pool.acquire("km")
    monkeypatch.setattr(engine.decoder.model, "forward", overflows)
    good = [engine.submit(languages[0].ask(*ASKED[0]))]
    failed = engine.submit(languages[1].ask(*ASKED[1]))
    good.append(engine.submit(languages[2].ask(*ASKED[2])))
    drain(engine)
    finish = failed.result(0).finish
    assert finish.reason == "error" and finish.error is not None and "not a number" in finish.error
    for handle, one, place in zip(good, (languages[0], languages[2]), (0, 2), strict=True):
        assert same(handle.result(0), one.pipeline.answer(*ASKED[place]))
    assert engine.snapshot().finished["error"] == 1


def test_a_forward_pass_that_raises_ends_one_request(
    engine: BatchedEngine, languages: list[TrainedLanguage], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As when memory runs out for one row: the others take the same step without it."""
    handles = [engine.submit(languages[i % 3].ask(*ASKED[2 * i + 1])) for i in range(5)]
    doomed = engine.submit(base(engine.decoder, ASKED[1][0], "The farmer sold 3 red apples.", max_tokens=9))
    forward = engine.decoder.model.forward
    calls = 0

    def fails(*given: Any, **named: Any) -> Any:
        nonlocal calls
        calls += 1
        index = engine.pool._active
        rows = (named["attention_mask"].shape[0]) if index is None else int((index == 0).sum())
        if calls > 3 and named.get("input_ids") is not None and rows:
            raise RuntimeError("out of memory")
        return forward(*given, **named)

    monkeypatch.setattr(engine.decoder.model, "forward", fails)
    drain(engine)
    done = doomed.result(0).finish
    assert done.reason == "error" and done.error == "the decoder failed on this request (RuntimeError)"
    for i, handle in enumerate(handles):
        assert same(handle.result(0), languages[i % 3].pipeline.answer(*ASKED[2 * i + 1]))


def test_a_request_waits_for_company_but_not_long(wordy_languages: list[TrainedLanguage]) -> None:
    engine = engine_for(wordy_languages, rows=4, patience=2)
    for _ in range(2):
        engine.submit(long(wordy_languages[0]))
    engine.step()
    assert engine.snapshot().running == 2  # nobody to wait for
    engine.submit(long(wordy_languages[1]))
    running = []
    for _ in range(3):
        engine.step()
        running.append(engine.snapshot().running)
    assert running == [2, 2, 3]
    engine.submit(long(wordy_languages[2]))  # takes the last row, so there is nothing to wait for
    engine.step()
    assert engine.snapshot().running == 4


def test_counters_hold_within_a_step(wordy_languages: list[TrainedLanguage]) -> None:
    engine = engine_for(wordy_languages, rows=2)
    seen = []
    for one in wordy_languages:
        engine.submit(long(one), lambda event: seen.append(engine.snapshot()) if not event.finish else None)
    engine.step()
    assert seen and {(counts.running, counts.waiting) for counts in seen} == {(2, 1)}


def test_a_listener_that_raises_cancels_its_request(wordy_languages: list[TrainedLanguage]) -> None:
    engine = engine_for(wordy_languages)

    def bad(event: StreamEvent) -> None:
        raise ValueError("the client is gone")

    handle, other = engine.submit(long(wordy_languages[0]), bad), engine.submit(long(wordy_languages[1]))
    drain(engine)
    assert handle.finish is not None and handle.finish.reason == "cancelled"
    assert other.result(0).finish.usage.completion_tokens > 5


@pytest.mark.parametrize(
    ("request_", "said"),
    [
        (EngineRequest(PromptInput((1, -1), np.zeros((1, 31), np.float32))), "slots are of shape"),
        (EngineRequest(PromptInput((1, 10**6))), "token ids are 0 to"),
        (EngineRequest(PromptInput((1,) * 600)), "600 tokens; with its answer 512 fit"),
        (
            EngineRequest(PromptInput((1,)), "nobody"),
            r"no adapter 'nobody' here \(there are: am, bo, km\)",
        ),
    ],
)
def test_what_cannot_be_answered_is_refused(
    wordy_languages: list[TrainedLanguage], request_: EngineRequest, said: str
) -> None:
    engine = engine_for(wordy_languages)
    with pytest.raises(LlinkError, match=said):
        engine.submit(request_)
    assert engine.snapshot().waiting == 0 and not engine.step()


def test_the_context_ends_an_answer(wordy_languages: list[TrainedLanguage]) -> None:
    engine = engine_for(wordy_languages, tokens=20)
    handle = engine.submit(EngineRequest(PromptInput((5,) * 15), None, SamplingParams(max_tokens=50)))
    drain(engine)
    done = handle.result(0).finish
    assert done.reason == "length" and done.usage.completion_tokens == 5


def test_adapters_come_and_go_while_others_decode(wordy_languages: list[TrainedLanguage]) -> None:
    bo, km, am = wordy_languages
    engine = engine_for([bo])
    first = engine.submit(long(bo))
    engine.step()
    engine.load_adapter("km", km.lora)
    second = engine.submit(long(km, 1))
    engine.step()
    engine.load_adapter("bo", am.lora)  # a new version: who has the old one goes on with it
    third = engine.submit(EngineRequest(long(am, 2).prompt, "bo", long(am, 2).sampling))
    engine.step()
    engine.unload_adapter("km")
    with pytest.raises(LlinkError, match="no adapter 'km'"):
        engine.submit(long(km))
    assert engine.adapters == ["bo"]
    drain(engine)
    alone = engine_for(wordy_languages)
    for handle, request in ((first, long(bo)), (second, long(km, 1)), (third, long(am, 2))):
        wanted = alone.submit(request)
        drain(alone)
        assert handle.result(0) == wanted.result(0)
    for _ in range(8):
        engine.load_adapter("bo", bo.lora)
    assert engine.pool.size <= 4  # places are used again


def test_a_decoder_that_cannot_be_batched_is_refused(tmp_path: Any) -> None:
    import transformers as tf
    from model_zoo import tokenizer

    from llink_ray.settings import DecoderSettings

    folder = write_decoder(tmp_path / "mamba", "gpt2")
    made = tokenizer({"eos_token": "<eos>", "pad_token": "<pad>"})
    config = tf.MambaConfig(vocab_size=len(made), hidden_size=16, state_size=4, num_hidden_layers=1)
    tf.MambaForCausalLM(config).save_pretrained(folder)
    with pytest.raises(LlinkError, match="choose a decoder with attention in every layer"):
        BatchedEngine(Decoder.load(DecoderSettings(model=str(folder))))


def test_many_threads_ask_at_once(running: BatchedEngine, wordy_languages: list[TrainedLanguage]) -> None:
    asked = [(wordy_languages[i % 3], *ASKED[i % 12]) for i in range(32)]
    requests = [one.ask(*what) for one, *what in asked]
    with ThreadPoolExecutor(32) as threads:
        answers = list(threads.map(lambda request: running.submit(request).result(60), requests))
    known = {i: wordy_languages[i % 3].pipeline.answer(*ASKED[i]) for i in range(12)}
    assert all(same(answer, known[i % 12]) for i, answer in enumerate(answers))
    counts = running.snapshot()
    assert counts.joins == 32 and sum(counts.finished.values()) == 32 and counts.running == 0
    assert max(counts.batch_sizes) > 4


def test_scores_between_the_tokens_of_others(
    running: BatchedEngine, wordy_languages: list[TrainedLanguage]
) -> None:
    handles = [running.submit(long(one)) for one in wordy_languages]
    prompt = wordy_languages[0].input(*ASKED[0])
    scores = running.score([prompt, prompt], ANSWER, ["bo", None])
    quiet = engine_for(wordy_languages)
    assert scores == pytest.approx(quiet.score([prompt, prompt], ANSWER, ["bo", None]), abs=1e-3)
    with pytest.raises(LlinkError, match="no adapter 'x'"):
        running.score([prompt], ANSWER, ["x"])
    with pytest.raises(LlinkError, match="at least one"):
        running.score([prompt], [], ["bo"])
    with pytest.raises(LlinkError, match="shorten"):
        running.score([prompt], [1] * 600, ["bo"])
    assert all(handle.result(30).finish.usage.completion_tokens > 1 for handle in handles)


def test_asyncio(running: BatchedEngine, wordy_languages: list[TrainedLanguage]) -> None:
    async def read(request: EngineRequest) -> str:
        return "".join([event.text async for event in running.submit(request)])

    async def leave(request: EngineRequest) -> None:
        events = running.submit(request).__aiter__()
        await events.__anext__()
        await events.aclose()

    async def both() -> list[str]:
        reading = asyncio.gather(*(read(long(one)) for one in wordy_languages))
        texts, _ = await asyncio.gather(reading, leave(long(wordy_languages[0])))
        return texts

    texts = asyncio.run(asyncio.wait_for(both(), 60))
    assert texts == [running.submit(long(one)).result(30).text for one in wordy_languages]
    assert running.snapshot().finished.get("cancelled", 0) <= 1


def test_stopping_ends_everything(wordy_languages: list[TrainedLanguage]) -> None:
    engine = engine_for(wordy_languages, rows=1)
    said = threading.Event()
    engine.start()
    engine.start()  # twice does no harm
    first = engine.submit(long(wordy_languages[0], timeout=None), lambda event: said.set())
    waits = engine.submit(long(wordy_languages[1]))
    assert said.wait(30)
    engine.stop()
    for handle in (first, waits):
        assert handle.finish is not None and handle.finish.reason in ("error", "length", "stop")
    assert waits.finish is not None and waits.finish.error in ("the engine was stopped", None)
    with pytest.raises(LlinkError, match="the engine is stopped"):
        engine.submit(long(wordy_languages[0]))
    engine.start()
    assert (
        engine.submit(wordy_languages[0].ask(*ASKED[0])).result(30).finish.usage.completion_tokens <= LONGEST
    )
    engine.stop()
    engine.stop()


def test_a_defect_of_the_loop_leaves_nobody_waiting(
    wordy_languages: list[TrainedLanguage], monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = engine_for(wordy_languages)

    step, calls = engine._batch.step, iter(range(99))

    def breaks() -> bool:
        if next(calls) == 0:
            raise KeyError("a defect")
        return step()

    monkeypatch.setattr(engine._batch, "step", breaks)
    first = engine.submit(long(wordy_languages[0]))
    engine.start()
    assert first.result(30).finish.error == "the engine failed"
    assert engine.submit(long(wordy_languages[0])).result(30).finish.reason in ("length", "stop")
    engine.stop()
