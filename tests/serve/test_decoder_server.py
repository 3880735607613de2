"""The decoder server over two engines that have nothing but the protocol in common."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import aclosing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from prompt_inputs import nll, peft_logprobs, prompt_input
from sequential_engine import SequentialEngine
from serve_zoo import BO, KM

from llink_ray.bundles.bundle import read_bundle
from llink_ray.bundles.pipeline import LlinkPipeline
from llink_ray.bundles.registry import Registry
from llink_ray.bundles.slot_encoder import TeacherSpace
from llink_ray.engine import Answer, DecoderEngine, EngineLimits, PromptInput, QueueFull, SamplingParams
from llink_ray.engine.batched_engine import BatchedEngine
from llink_ray.errors import JobFailed, LlinkError
from llink_ray.models.decoder import Decoder
from llink_ray.prompts import SLOT_ID
from llink_ray.prompts.builder import PromptBuilder
from llink_ray.settings import DecoderSettings
from serve.decoder_server import DecoderServer
from serve.rpc_types import BundleRef, GenerationRequest

Lessons = dict[str, tuple[Path, LlinkPipeline]]
TEXTS = {"bo": BO, "km": KM}
ENDLESS = SamplingParams(max_tokens=300, temperature=1.5, seed=1)
ENGINES: dict[str, Callable[[Decoder, EngineLimits], DecoderEngine]] = {
    "batched": BatchedEngine,
    "sequential": SequentialEngine,
}


@pytest.fixture(scope="module", params=ENGINES)
def create(request: pytest.FixtureRequest) -> Callable[[Decoder, EngineLimits], DecoderEngine]:
    return ENGINES[request.param]


@pytest.fixture(scope="module")
def server(create: Callable[..., DecoderEngine], registry: Path) -> Iterator[DecoderServer]:
    made = server_of(create, registry)
    yield made
    made.engine.stop()


@pytest.fixture
def endless(create: Callable[..., DecoderEngine], registry: Path) -> Iterator[DecoderServer]:
    """One whose answers come to no end by themselves, with little room."""
    made = server_of(create, registry, waiting=2, stop_ids=list)
    yield made
    made.engine.stop()


def server_of(
    create: Callable[..., DecoderEngine], registry: Path, waiting: int = 9, **changes: Any
) -> DecoderServer:
    decoder = Decoder.load(DecoderSettings(model="embedded"))
    vars(decoder).update(changes)
    engine = create(decoder, EngineLimits(rows=2, waiting=waiting))
    return DecoderServer(engine, PromptBuilder(decoder.tokenizer), str(registry))


def ref_of(registry: Path, code: str) -> BundleRef:
    version = Registry(registry).resolve(code)
    folder = Registry(registry).fetch(code, version.name)
    return BundleRef(code, version.name, str(read_bundle(folder).digest))


def request_for(lessons: Lessons, registry: Path, code: str, **more: Any) -> GenerationRequest:
    prompt = prompt_input(lessons[code][1], "How many?", TEXTS[code])
    return GenerationRequest(prompt.ids, prompt.slots, ref_of(registry, code), **more)


def run(work: Awaitable[Any]) -> Any:
    async def within() -> Any:
        return await asyncio.wait_for(work, 120)

    return asyncio.run(within())


async def until(true: Callable[[], bool]) -> None:
    while not true():
        await asyncio.sleep(0.01)


def test_languages_are_answered_together(server: DecoderServer, lessons: Lessons, registry: Path) -> None:
    asked = {code: request_for(lessons, registry, code) for code in TEXTS}

    async def streamed(code: str) -> str:
        return "".join([event.text async for event in server.stream(asked[code])])

    async def ask() -> list[Any]:
        for one in asked.values():
            assert one.adapter is not None
            await server.prepare(one.adapter)
        return await asyncio.gather(*map(streamed, asked), *(server.answer(one) for one in asked.values()))

    *texts, (bo, _), (km, _) = run(ask())
    wanted = [lessons[code][1].answer("How many?", text) for code, text in TEXTS.items()]
    assert texts == [bo.text, km.text] == wanted and bo.finish.reason == "stop"
    refs = sorted(one.adapter.name for one in asked.values() if one.adapter)
    assert server.engine.adapters == refs == list(server.load().adapters)
    assert server.load().running == server.load().waiting == 0 < server.load().tokens


def test_log_probabilities_and_grounding(server: DecoderServer, lessons: Lessons, registry: Path) -> None:
    bo = lessons["bo"][1]
    asked = request_for(lessons, registry, "bo", sampling=SamplingParams(logprobs=2), grounding=True)
    prompt = PromptInput(asked.ids, asked.slots)
    answer, grounding = run(server.answer(asked))
    assert b"".join(token.bytes for token in answer.tokens).decode() == answer.text
    rows = peft_logprobs(bo, prompt, [token.id for token in answer.tokens])
    for token, row in zip(answer.tokens, rows[len(asked.ids) - 1 :], strict=False):
        assert token.logprob == pytest.approx(float(row[token.id]), abs=1e-3)
        assert [top.logprob for top in token.top_logprobs] == pytest.approx(row.topk(2)[0].tolist(), abs=1e-3)
    ids = bo.decoder.prompt_builder.answer_ids(answer.text)
    assert asked.slots is not None
    ablated = PromptInput(asked.ids, np.zeros_like(asked.slots))
    assert grounding == pytest.approx(nll(bo, ablated, ids) - nll(bo, prompt, ids), abs=1e-3)
    assert run(server.grounding(GenerationRequest((1, 2)), "a")) is None

    first, *entries, following = run(server.prompt_logprobs(asked))
    assert first is None and len(entries) == len(asked.ids) - 1
    for token_id, row, entry in zip(asked.ids[1:], rows, entries, strict=False):
        assert (entry is None) == (token_id == SLOT_ID)
        assert entry is None or entry.logprob == pytest.approx(float(row[token_id]), abs=1e-3)
    assert following.id == int(rows[len(asked.ids) - 1].argmax())


def test_vectors_of_english(server: DecoderServer, lessons: Lessons, registry: Path) -> None:
    texts = ["Thirty apples.", "The cook left."]
    folder, bo = lessons["bo"]
    wanted = bo.decoder.teacher_states(texts)
    np.testing.assert_allclose(run(server.teacher_states(texts, None)), wanted, atol=1e-4)
    space = TeacherSpace.load(folder, read_bundle(folder))
    placed = space.transform(bo.decoder.teacher_states(texts, teacher=space.teacher))
    found = run(server.teacher_states(texts, ref_of(registry, "bo")))
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, placed, atol=1e-4)


def test_who_leaves_frees_the_engine(endless: DecoderServer, lessons: Lessons, registry: Path) -> None:
    asked = request_for(lessons, registry, "bo", sampling=ENDLESS)

    async def leave() -> None:
        async with aclosing(endless.stream(asked)) as events:
            async for _ in events:
                break
        await until(lambda: endless.load().cancelled == 1)
        whole = asyncio.create_task(endless.answer(asked))
        await until(lambda: endless.load().running == 1)
        whole.cancel()
        await until(lambda: endless.load().cancelled == 2)

    run(leave())
    assert endless.load().running == 0 and endless.load().tokens < 2 * ENDLESS.max_tokens


def test_deadlines_and_a_full_queue(endless: DecoderServer, lessons: Lessons, registry: Path) -> None:
    asked = request_for(lessons, registry, "bo", sampling=ENDLESS, seconds=0.3)

    async def ask() -> list[Answer | BaseException]:
        await endless.prepare(ref_of(registry, "bo"))
        found = await asyncio.gather(*(endless.answer(asked) for _ in range(9)), return_exceptions=True)
        return [one if isinstance(one, BaseException) else one[0] for one in found]

    found = run(ask())
    refused = [one for one in found if isinstance(one, BaseException)]
    assert refused and all(isinstance(one, QueueFull) for one in refused)
    ended = [one for one in found if isinstance(one, Answer)]
    assert ended and {one.finish.reason for one in ended} <= {"deadline", "length"}


def test_old_versions_are_unloaded(
    create: Callable[..., DecoderEngine], lessons: Lessons, tmp_path: Path
) -> None:
    registry = Registry(tmp_path)
    versions = [registry.publish(lessons["bo"][0]).name for _ in range(4)]
    server = server_of(create, tmp_path)
    first = ref_of(tmp_path, "bo")
    refs = [BundleRef("bo", version, first.digest) for version in versions]

    async def ask() -> str:
        for ref in refs:
            await server.prepare(ref)
        assert server.engine.adapters == sorted(ref.name for ref in refs[1:])
        prompt = prompt_input(lessons["bo"][1], "How many?", BO)
        answer, _ = await server.answer(GenerationRequest(prompt.ids, prompt.slots, refs[0]))
        return answer.text

    try:
        assert run(ask()) == lessons["bo"][1].answer("How many?", BO)
        assert refs[0].name in server.engine.adapters and len(server.engine.adapters) == 3
    finally:
        server.engine.stop()


def test_bundles_of_another_decoder_are_refused(
    create: Callable[..., DecoderEngine], lessons: Lessons, registry: Path
) -> None:
    server = server_of(create, registry, fingerprint="0" * 64)
    try:
        with pytest.raises(LlinkError, match="trained on another decoder"):
            run(server.prepare(ref_of(registry, "bo")))
        with pytest.raises(JobFailed):
            run(server.answer(request_for(lessons, registry, "bo")))
    finally:
        server.engine.stop()


def test_impossible_requests_harm_nobody(server: DecoderServer, lessons: Lessons, registry: Path) -> None:
    asked = request_for(lessons, registry, "bo")
    assert asked.slots is not None
    for slots in (asked.slots[:, 1:], asked.slots[1:], np.full_like(asked.slots, np.nan), None):
        with pytest.raises(LlinkError, match="slots"):
            run(server.answer(GenerationRequest(asked.ids, slots, asked.adapter)))
    with pytest.raises(LlinkError, match="shorten"):
        run(server.answer(GenerationRequest((5,) * 3_000)))
    assert run(server.answer(asked))[0].text == lessons["bo"][1].answer("How many?", BO)


def test_a_server_whose_engine_has_stopped_is_replaced(
    create: Callable[..., DecoderEngine], registry: Path
) -> None:
    server = server_of(create, registry)
    server.check_health()
    server.engine.stop()
    with pytest.raises(RuntimeError):
        server.check_health()
    with pytest.raises(LlinkError, match="stopped"):
        run(server.answer(GenerationRequest((1, 2))))
