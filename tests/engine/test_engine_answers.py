"""Whatever else is in the batch, a request is answered as it is alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from engine_fixtures import ASKED, LONGEST, TrainedLanguage, base, drain, engine_for, same
from model_zoo import FAMILIES
from prompt_inputs import nll, peft_logprobs

from llink_ray.engine import Answer, EngineLimits, EngineRequest, PromptInput, SamplingParams
from llink_ray.engine.batched_engine import BatchedEngine
from llink_ray.errors import LlinkError, TooLong
from llink_ray.models.decoder import Decoder
from llink_ray.prompts import SLOT_ID
from llink_ray.prompts.instructions import TRANSLATE_INSTRUCTION

LanguagesOn = Callable[[str], list[TrainedLanguage]]


def staggered(engine: BatchedEngine, requests: list[EngineRequest]) -> list[Answer]:
    """Answers to requests of which one more comes after every token."""
    handles = []
    for request in requests:
        handles.append(engine.submit(request))
        engine.step()
    drain(engine)
    return [handle.result(timeout=0) for handle in handles]


@pytest.mark.parametrize("family", [*FAMILIES, "embedded"])
def test_a_mixed_batch_answers_as_each_alone(languages_on: LanguagesOn, family: str) -> None:
    languages = languages_on(family)
    engine = engine_for(languages)
    decoder = Decoder.load(languages[0].pipeline.settings.decoder)
    requests, wanted = [], []
    for i, (instruction, text) in enumerate(ASKED[:12]):
        one = languages[i % 4] if i % 4 < 3 else None
        if one is None:
            requests.append(base(engine.decoder, instruction, text))
            wanted += decoder.answer_english([(instruction, text)], 1, LONGEST)
        else:
            requests.append(one.ask(instruction, text))
            wanted.append(one.pipeline.answer(instruction, text))
    answers = staggered(engine, requests)
    assert all(map(same, answers, wanted))
    assert len(set(wanted)) > 6
    for request, answer in zip(requests, answers, strict=True):
        assert answer.finish.reason in ("stop", "length")
        assert answer.finish.usage.prompt_tokens == request.prompt.length
        assert 0 < answer.finish.usage.completion_tokens <= LONGEST
    counts = engine.snapshot()
    assert max(counts.batch_sizes) > 3 and counts.joins == len(requests)
    assert counts.tokens == sum(answer.finish.usage.completion_tokens for answer in answers)
    assert counts.prompt_tokens == sum(request.prompt.length for request in requests)
    assert counts.running == counts.waiting == 0


@pytest.mark.parametrize("family", [*FAMILIES, "embedded"])
def test_logits_are_those_of_peft_alone(languages_on: LanguagesOn, family: str) -> None:
    languages = languages_on(family)
    requests = [one.ask(*ASKED[i], logprobs=3) for i, one in enumerate(languages * 2)]
    answers = staggered(engine_for(languages), requests)
    for one, request, answer in zip(languages * 2, requests, answers, strict=True):
        made = [token.id for token in answer.tokens]
        assert len(made) > 1
        logprobs = peft_logprobs(one.pipeline, request.prompt, made)[-len(made) - 1 :]
        for token, wanted in zip(answer.tokens, logprobs, strict=False):
            assert token.logprob == pytest.approx(float(wanted[token.id]), abs=1e-3)
            assert [one.logprob for one in token.top_logprobs] == pytest.approx(
                wanted.topk(3).values.tolist(), abs=1e-3
            )


@pytest.mark.parametrize("limits", [{"rows": 1}, {"rows": 3}, {"prefill_tokens": 1}, {"tokens": 200}])
def test_limits_change_the_batch_and_not_the_answers(
    languages: list[TrainedLanguage], limits: dict[str, int]
) -> None:
    engine = engine_for(languages, **limits)
    asked = [(one, *ASKED[i]) for i, one in enumerate(languages * 3)]
    handles = [engine.submit(one.ask(instruction, text)) for one, instruction, text in asked]
    most = 0
    while engine.step():
        counts = engine.snapshot()
        most = max(most, counts.running)
    for (one, instruction, text), handle in zip(asked, handles, strict=True):
        assert same(handle.result(0), one.pipeline.answer(instruction, text))
    assert most <= limits.get("rows", 99)
    assert engine.snapshot().joins == 9
    if "tokens" in limits:
        widest = max(one.ask(i, t).prompt.length for one, i, t in asked) + LONGEST
        assert 1 <= max(engine.snapshot().batch_sizes) <= 200 // min(widest, 100)


def test_embeddings_are_read_like_tokens(engine: BatchedEngine, languages: list[TrainedLanguage]) -> None:
    request = languages[0].ask(*ASKED[0])
    with torch.inference_mode():
        ids = torch.tensor(request.prompt.ids).clamp(min=0)
        rows = engine.decoder.model.get_input_embeddings()(ids).numpy()
    rows[~request.prompt.token_mask] = request.prompt.slots
    ready = PromptInput((SLOT_ID,) * len(rows), rows)
    first, second = staggered(engine, [request, EngineRequest(ready, "bo", request.sampling)])
    assert first == second and first.text


def test_a_seed_gives_the_same_answer_in_any_company(
    engine: BatchedEngine, languages: list[TrainedLanguage]
) -> None:
    def ask(seed: int) -> EngineRequest:
        return languages[0].ask(*ASKED[3], temperature=1.5, top_p=0.95, seed=seed)

    alone = [staggered(engine, [ask(seed)])[0].text for seed in range(4)]
    others = [one.ask(*ASKED[i], temperature=1.0) for i, one in enumerate(languages * 2)]
    crowd = staggered(engine, [*others[:3], *map(ask, range(4)), *others[3:]])
    assert [answer.text for answer in crowd[3:7]] == alone
    assert len(set(alone)) > 1


def pieces_of(engine: BatchedEngine, **sampling: Any) -> tuple[list[str], Answer]:
    """The decoder without adapters says an English sentence after: its pieces, and all of it."""
    sentence = "The farmer sold 30 red apples at the old market near the river."
    handle = engine.submit(base(engine.decoder, TRANSLATE_INSTRUCTION, sentence, max_tokens=40, **sampling))
    drain(engine)
    events = list(handle)
    done = events[-1].finish
    assert done is not None and handle.finish is done and not any(event.finish for event in events[:-1])
    tokens = tuple(token for event in events for token in event.tokens)
    text = "".join(event.text for event in events)
    return [event.text for event in events if event.text], Answer(text, tokens, done)


def test_a_stop_string_across_tokens_is_never_said(engine: BatchedEngine) -> None:
    pieces, answer = pieces_of(engine, logprobs=0)
    assert len(pieces) > 5 and answer.finish.reason == "stop"
    assert "".join(token.text for token in answer.tokens) == answer.text
    words = [token.text for token in answer.tokens]
    stop = words[2][-2:] + words[3] + words[4][:1]
    said, stopped = pieces_of(engine, stop=("never said", stop), logprobs=0)
    assert stopped.finish.reason == "stop" and stopped.text == answer.text.split(stop)[0].rstrip()
    assert answer.text.startswith("".join(said)) and len(said) >= 2
    assert stopped.finish.usage.completion_tokens == 5
    assert stopped.tokens[:2] == answer.tokens[:2] and len(stopped.tokens) <= 3
    assert "".join(token.text for token in stopped.tokens) == stopped.text
    held = answer.text[-3:] + "never said"
    assert pieces_of(engine, stop=(held,))[1].text == answer.text  # what was held back comes at the end


def test_length_and_blanks(engine: BatchedEngine) -> None:
    request = base(engine.decoder, *ASKED[0], max_tokens=1)
    raw = EngineRequest(request.prompt, None, SamplingParams(max_tokens=1, strip=False))
    short, unstripped = staggered(engine, [request, raw])
    assert short.finish.reason == "length" and short.finish.usage.completion_tokens == 1
    assert unstripped.text.strip() == short.text


def test_scores(engine: BatchedEngine, languages: list[TrainedLanguage]) -> None:
    bo = languages[0]
    prompts = [bo.input(*ASKED[i]) for i in range(3)]
    bare = PromptInput(tuple(i for i in prompts[0].ids if i >= 0))
    answer = bo.pipeline.answer(*ASKED[0])
    ids = bo.pipeline.decoder.prompt_builder.answer_ids(answer)
    scores = engine.score([*prompts, bare], ids, ["bo", "bo", "km", None])
    assert scores[0] == pytest.approx(nll(bo.pipeline, prompts[0], ids), abs=1e-3)
    assert scores[0] < min(scores[1:3])  # its own answer, not another prompt's or another adapter's
    assert engine.score([prompts[0]], ids, ["bo"]) == pytest.approx(scores[:1], abs=1e-4)
    narrow = BatchedEngine(
        Decoder.load(bo.pipeline.settings.decoder), EngineLimits(tokens=prompts[0].length + 60)
    )
    narrow.load_adapter("bo", bo.lora)
    assert narrow.score([prompts[0], prompts[1]], ids, ["bo"] * 2) == pytest.approx(scores[:2], abs=1e-4)
    assert engine.score([], ids, []) == []


@pytest.mark.parametrize("family", [*FAMILIES, "embedded"])
@pytest.mark.parametrize("part", [3, 256])
def test_a_prompt_is_expected_as_peft_alone_expects_it(
    languages_on: LanguagesOn, family: str, part: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("llink_ray.engine.batched_engine._LOGITS_CHUNK", part)
    one = languages_on(family)[0]
    engine = engine_for([one])
    prompt = one.input(*ASKED[0])
    found = engine.prompt_logprobs(prompt, 2, one.name)
    logprobs = peft_logprobs(one.pipeline, prompt)
    assert len(found) == prompt.length + 1 and found[0] is None
    for place, (token, wanted) in enumerate(zip(found[1:], logprobs, strict=True), 1):
        if place < prompt.length and prompt.ids[place] == SLOT_ID:
            assert token is None
            continue
        assert token is not None
        assert token.id == (prompt.ids[place] if place < prompt.length else int(wanted.argmax()))
        assert token.logprob == pytest.approx(float(wanted[token.id]), abs=1e-3)
        assert [t.logprob for t in token.top_logprobs] == pytest.approx(
            wanted.topk(2).values.tolist(), abs=1e-3
        )
    with pytest.raises(LlinkError, match="no adapter"):
        engine.prompt_logprobs(prompt, 2, "nobody")
    with pytest.raises(TooLong, match="shorten"):
        engine.prompt_logprobs(PromptInput((1,) * (engine.max_model_len + 1)), 0)
