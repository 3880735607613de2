"""The official client, unchanged; and that what is answered is what the taught decoder answers."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
import openai
import pytest
from serve_zoo import BO, KM, Running, up

from llink_ray.bundles.pipeline import LlinkPipeline
from llink_ray.prompts.conversation import ConversationParser
from llink_ray.settings import SlotSettings
from serve.metadata import PreparedRequest, ResponseMetadata
from serve.rpc_types import GenerationRequest

Lessons = dict[str, tuple[Path, LlinkPipeline]]


@pytest.fixture(scope="module")
def client(api: Running) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{api.url}/v1", api_key="none", max_retries=0) as official:
        yield official


def extension(answer: openai.BaseModel) -> dict[str, Any]:
    """The field ``llink``, which OpenAI's API does not have."""
    assert answer.model_extra is not None
    fields: dict[str, Any] = answer.model_extra["llink"]
    return fields


def ask(client: openai.OpenAI, content: str, **more: Any) -> Any:
    options: dict[str, Any] = {"model": "llink", "max_tokens": 8} | more
    return client.chat.completions.create(messages=[{"role": "user", "content": content}], **options)


@pytest.mark.parametrize(("code", "text"), [("bo", BO), ("km", KM)])
def test_a_chat_says_what_the_taught_decoder_says(
    client: openai.OpenAI, lessons: Lessons, code: str, text: str
) -> None:
    response = ask(client, f"How many?\n{text}")
    assert response.choices[0].message.content == lessons[code][1].answer("How many?", text)
    extension = response.model_extra["llink"]
    assert extension["adapter"] == code and extension["bundles"][code]["version"] == "v0001"
    assert extension["slots"] == 5 and extension["prompt_tokens"] == response.usage.prompt_tokens
    assert extension["prompt_tokens_raw"] > response.usage.prompt_tokens
    (_, foreign) = extension["spans"]
    assert foreign["language"] == code and foreign["slots"] == 3 and foreign["numerals"]


def test_the_two_languages_differ(lessons: Lessons) -> None:
    assert lessons["bo"][1].translate(BO) != lessons["km"][1].translate(BO)


def test_usage_is_what_was_fed_and_made(client: openai.OpenAI, api: Running) -> None:
    before = api.engine.snapshot()
    response = ask(client, f"How many? {BO}", max_tokens=5)
    after = api.engine.snapshot()
    assert after.prompt_tokens - before.prompt_tokens == response.usage.prompt_tokens
    assert after.tokens - before.tokens == response.usage.completion_tokens
    assert response.usage.total_tokens == response.usage.prompt_tokens + response.usage.completion_tokens


def test_a_stream_is_the_same_answer_in_parts(client: openai.OpenAI) -> None:
    whole = ask(client, f"Who?\n{BO}")
    chunks = list(ask(client, f"Who?\n{BO}", stream=True, stream_options={"include_usage": True}))
    text = "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)
    assert text == whole.choices[0].message.content
    assert chunks[0].choices[0].delta.role == "assistant"
    assert chunks[-1].usage == whole.usage and not chunks[-1].choices
    assert [c.choices[0].finish_reason for c in chunks if c.choices][-1] == whole.choices[0].finish_reason
    assert {c.id for c in chunks} == {chunks[0].id}


def test_the_stream_ends_with_done_and_every_event_is_whole_json(api: Running) -> None:
    body = {"model": "llink", "messages": [{"role": "user", "content": BO}], "stream": True, "max_tokens": 6}
    answer = httpx2.post(f"{api.url}/v1/chat/completions", json=body)
    events = [line.removeprefix("data: ") for line in answer.text.split("\n") if line]
    assert answer.headers["content-type"].startswith("text/event-stream") and events[-1] == "[DONE]"
    assert all(json.loads(event)["object"] == "chat.completion.chunk" for event in events[:-1])


def test_completions_logprobs_and_stop(client: openai.OpenAI) -> None:
    response = client.completions.create(model="llink:bo", prompt=f"Who?\n{BO}", max_tokens=6, logprobs=2)
    choice = response.choices[0]
    logprobs = choice.logprobs
    assert logprobs and logprobs.tokens and logprobs.token_logprobs and logprobs.top_logprobs
    assert len(logprobs.tokens) == len(logprobs.token_logprobs)
    assert all(len(top) <= 2 for top in logprobs.top_logprobs)
    chat = ask(client, f"Who?\n{BO}", logprobs=True, top_logprobs=2)
    first = chat.choices[0].logprobs.content[0]
    assert first.logprob == max(top.logprob for top in first.top_logprobs)  # greedy
    text = chat.choices[0].message.content
    if len(text) > 2:
        cut = ask(client, f"Who?\n{BO}", stop=[text[2]])
        assert cut.choices[0].message.content == text[: text.index(text[2])].strip()
        assert cut.choices[0].finish_reason == "stop"


def test_more_tokens_than_there_are_is_cut_and_said(client: openai.OpenAI, api: Running) -> None:
    most = api.service.settings.limits.max_tokens
    request = {"model": "llink", "messages": [{"role": "user", "content": f"Who?\n{BO}"}]}
    for name, stream in (("max_tokens", False), ("max_completion_tokens", False), ("max_tokens", True)):
        body = {**request, name: most + 1, "stream": stream}
        reply = httpx2.post(f"{api.url}/v1/chat/completions", json=body)
        assert reply.status_code == 200 and reply.headers["x-llink-max-tokens"] == str(most)
        assert '"max_tokens_cut"' in reply.text and str(most) in reply.text
    reply = httpx2.post(f"{api.url}/v1/chat/completions", json={**request, "max_tokens": 2})
    assert "x-llink-max-tokens" not in reply.headers and reply.json()["llink"]["notices"] == []
    with up(Path(api.service.settings.registry), "limits.max_tokens=1") as short:
        reply = httpx2.post(f"{short.url}/v1/chat/completions", json={**request, "max_tokens": 4_096})
        response = reply.json()
    assert response["choices"][0]["finish_reason"] == "length" and response["usage"]["completion_tokens"] == 1


def test_each_of_several_prompts_has_its_choice(client: openai.OpenAI) -> None:
    prompts = [f"Who?\n{BO}", f"How many?\n{KM}", "Who sold it?\n The cook sold 30 apples."]
    alone = [client.completions.create(model="llink", prompt=one, max_tokens=6) for one in prompts]
    response = client.completions.create(model="llink", prompt=prompts, max_tokens=6, logprobs=1)
    assert [(c.index, c.text) for c in response.choices] == [
        (i, one.choices[0].text) for i, one in enumerate(alone)
    ]
    assert response.usage
    assert response.usage.total_tokens == sum(one.usage.total_tokens for one in alone if one.usage)
    assert [extension(c)["adapter"] for c in response.choices] == ["bo", "km", None]
    for choice in response.choices:
        assert choice.logprobs and choice.logprobs.text_offset and choice.logprobs.text_offset[0] == 0
    events = list(
        client.completions.create(
            model="llink", prompt=prompts, max_tokens=6, stream=True, stream_options={"include_usage": True}
        )
    )
    texts = ["", "", ""]
    for event in events[:-1]:
        texts[event.choices[0].index] += event.choices[0].text
    assert texts == [choice.text for choice in response.choices] and events[-1].usage == response.usage


def test_what_is_wrong_with_one_of_several_is_told_by_its_place(client: openai.OpenAI) -> None:
    with pytest.raises(openai.UnprocessableEntityError, match=r"prompt\[1\].*Russian") as refused:
        client.completions.create(model="llink", prompt=["Hi", "Кто там?"], max_tokens=1)
    assert refused.value.param == "prompt[1]"
    with pytest.raises(openai.BadRequestError, match=r"messages\[0\].content.*sentences") as long:
        ask(client, f"Who?\n{BO * 5}")
    assert long.value.param == "messages[0].content" and long.value.code == "context_length_exceeded"


def test_tokenize_names_its_fields_too(api: Running) -> None:
    said = [{"role": "user", "content": "Hi"}, {"role": "user", "content": "Кто там?"}]
    for body, param in (({"text": "Кто там?"}, "text"), ({"messages": said}, "messages[1].content")):
        reply = httpx2.post(f"{api.url}/v1/tokenize", json={"model": "llink", **body})
        assert reply.status_code == 422 and reply.json()["error"]["param"] == param


def test_no_path_of_the_server_is_told(client: openai.OpenAI, registry: Path) -> None:
    for name in ("llink:bo@v0009", "llink:am@v0001", f"llink:{registry.name}"):
        with pytest.raises(openai.NotFoundError) as refused:
            ask(client, "Hello", model=name)
        assert str(registry.parent) not in str(refused.value)
    with pytest.raises(openai.NotFoundError, match=r"Tibetan has no such version here \(there are: v0001\)"):
        client.models.retrieve("llink:bo@v0009")


def test_a_temperature_of_nearly_nothing_is_greedy(client: openai.OpenAI) -> None:
    greedy = ask(client, f"Who?\n{BO}").choices[0].message.content
    assert ask(client, f"Who?\n{BO}", temperature=1e-308).choices[0].message.content == greedy


def test_a_seed_gives_the_same_drawn_answer(client: openai.OpenAI) -> None:
    drawn = [
        ask(client, f"Who?\n{BO}", temperature=1.5, seed=seed).choices[0].message.content
        for seed in (1, 1, 2)
    ]
    assert drawn[0] == drawn[1]


def test_many_at_once_in_two_languages_say_what_each_says_alone(
    client: openai.OpenAI, lessons: Lessons
) -> None:
    request = [("bo", BO), ("km", KM)] * 12
    with ThreadPoolExecutor(12) as pool:
        response = list(pool.map(lambda one: ask(client, f"How many?\n{one[1]}"), request))
    for (code, text), one in zip(request, response, strict=True):
        assert one.choices[0].message.content == lessons[code][1].answer("How many?", text)


def test_earlier_turns_come_from_the_cache(client: openai.OpenAI) -> None:
    first = f"Who?\n{BO}"
    turns = [
        {"role": "user", "content": first},
        {"role": "assistant", "content": "the cook"},
        {"role": "user", "content": f"And here? {KM}"},
    ]
    ask(client, first)
    response = client.chat.completions.create(model="llink", messages=turns, max_tokens=4)  # type: ignore[arg-type]
    told = extension(response)
    assert told["sentences"] == 2 and told["slot_cache_hits"] >= 1
    assert told["adapter"] == "km" and set(told["bundles"]) == {"bo", "km"}


def test_english_goes_to_the_base(client: openai.OpenAI, lessons: Lessons) -> None:
    auto = ask(client, "Who sold it?\n The cook sold 30 apples.")
    base = ask(client, "Who sold it?\n The cook sold 30 apples.", model="embedded")
    assert auto.choices[0].message.content == base.choices[0].message.content
    assert auto.model_extra["llink"]["adapter"] is None and auto.model_extra["llink"]["slots"] == 0
    raw = ask(client, f"Who?\n{BO}", model="embedded")
    assert raw.usage.prompt_tokens == raw.model_extra["llink"]["prompt_tokens_raw"]


def test_grounding_in_words() -> None:
    def said(nats: float, text: str, outside: bool = False) -> str:
        layout = ConversationParser({"bo": SlotSettings()}).parse([("user", text)])
        response = ResponseMetadata(
            PreparedRequest("llink", layout, GenerationRequest((1,)), {}, 1),
            0,
            nats,
            out_of_domain=(outside,),
        ).extension()
        assert response.grounding is not None
        return response.grounding.sentence

    much = "with your text this answer is much likelier than without it"
    assert said(2.0, BO) == said(2.0, "ང་") == f"{much}, right or wrong"
    assert said(2.0, BO, True) == f"{much}, but the text is unlike the training text"
    assert said(0.2, BO) == "with your text this answer is a little likelier than without it"
    assert said(0.01, "ང་") == "this answer would be much the same without your text"
    assert said(0.01, BO) == "the numbers of your text alone would give much the same answer"


def test_grounding_is_told_on_request(client: openai.OpenAI) -> None:
    response = ask(client, f"Who?\n{BO}", extra_body={"llink": {"grounding": True}})
    grounding = response.model_extra["llink"]["grounding"]
    assert isinstance(grounding["nats"], float) and "your text" in grounding["sentence"]
    *_, last = ask(client, f"Who?\n{BO}", stream=True, extra_body={"llink": {"grounding": True}})
    assert last.model_extra["llink"]["grounding"]["nats"] == pytest.approx(grounding["nats"], abs=1e-3)
    assert ask(client, f"Who?\n{BO}").model_extra["llink"]["grounding"] is None


def test_an_answer_that_was_cut_where_nothing_more_fits_has_its_grounding(
    client: openai.OpenAI, api: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine, more = api.engine, {"extra_body": {"llink": {"grounding": True}}}
    prompt = ask(client, f"How many?\n{BO}").usage.prompt_tokens
    monkeypatch.setattr(engine, "limits", replace(engine.limits, tokens=prompt + 2))
    response = ask(client, f"How many?\n{BO}", **more)
    assert response.choices[0].finish_reason == "length"
    assert isinstance(response.model_extra["llink"]["grounding"]["nats"], float)
    *_, last = ask(client, f"How many?\n{BO}", stream=True, **more)
    assert last.model_extra["llink"]["grounding"] == response.model_extra["llink"]["grounding"]


def test_models(client: openai.OpenAI) -> None:
    assert [m.id for m in client.models.list()] == ["embedded", "llink", "llink:bo", "llink:km"]
    one = client.models.retrieve("llink:tibetan")
    assert one.id == "llink:bo" and extension(one)["version"] == "v0001"
    assert client.models.retrieve("llink:bo@v0001").id == "llink:bo"
    for name in ("gpt-9", "llink:klingon", "llink:am", "llink:bo@v0009", "llink:"):
        with pytest.raises(openai.NotFoundError):
            client.models.retrieve(name)
        with pytest.raises(openai.NotFoundError):
            ask(client, "Hello", model=name)


def vectors(client: openai.OpenAI, texts: Any, **llink: Any) -> tuple[np.ndarray[Any, Any], Any]:
    response = client.embeddings.create(model="llink", input=texts, extra_body={"llink": llink})
    return np.array([one.embedding for one in response.data]), response


def test_vectors_compare_across_languages(client: openai.OpenAI, lessons: Lessons) -> None:
    texts = [BO, KM, "Thirty apples."]
    raw, response = vectors(client, texts, normalize=False)
    assert response.model_extra["llink"]["unit_length"] is False
    np.testing.assert_allclose(raw[0], lessons["bo"][1].embed([BO])[0], atol=1e-4)
    np.testing.assert_allclose(raw[1], lessons["km"][1].embed([KM])[0], atol=1e-4)
    english = lessons["bo"][1].decoder.teacher_states(["Thirty apples."]).numpy()[0]
    np.testing.assert_allclose(raw[2], english, atol=1e-4)
    # By default a dot product, foreign or English, is the cosine that they were trained with.
    unit, response = vectors(client, texts)
    assert response.model_extra["llink"]["unit_length"] is True
    np.testing.assert_allclose(unit, raw / np.linalg.norm(raw, axis=1, keepdims=True), atol=1e-4)
    own, response = vectors(client, BO, space="encoder")
    assert (
        own.shape[1] == lessons["bo"][1].encoder.dim and response.model_extra["llink"]["space"] == "encoder"
    )
    np.testing.assert_allclose(np.linalg.norm(own), 1, atol=1e-4)


def test_what_is_cut_is_said_and_not_counted(client: openai.OpenAI) -> None:
    longer, english = BO * 20, "There are thirty apples in the house. " * 40
    found, response = vectors(client, [longer, english, BO])
    cut = response.model_extra["llink"]["cut"]
    assert [one["index"] for one in cut] == [0, 1]
    assert [one["characters"] for one in cut] == [len(longer), len(english)]
    ends = [one["characters_read"] for one in cut]
    assert ends[0] == 256 and 0 < ends[1] < len(english) // 2
    shorter, less = vectors(client, [longer[: ends[0]], english[: ends[1]], BO])
    np.testing.assert_allclose(shorter, found, atol=1e-4)
    assert less.usage == response.usage and less.model_extra["llink"]["cut"] == []
    (notice,) = response.model_extra["llink"]["notices"]
    assert notice["code"] == "text_cut" and "2 inputs" in notice["message"]
    _, own = vectors(client, [english, BO], space="encoder")
    assert [one["index"] for one in own.model_extra["llink"]["cut"]] == [0]


@pytest.mark.parametrize("stream", [False, True])
def test_a_sentence_that_is_cut_is_said_beside_the_answer(client: openai.OpenAI, stream: bool) -> None:
    sentence = BO.rstrip("།") * 10
    response = ask(client, f"Who?\n{sentence}", max_tokens=2, stream=stream)
    last = list(response)[-1] if stream else response
    extension = last.model_extra["llink"]
    assert [span["cut_characters"] for span in extension["spans"]] == [0, len(sentence) - 256]
    assert [one["code"] for one in extension["notices"]] == ["text_cut"]


def test_the_vectors_own_size_may_be_named(client: openai.OpenAI) -> None:
    size = len(client.embeddings.create(model="llink", input=BO).data[0].embedding)
    client.embeddings.create(model="llink", input=BO, dimensions=size)
    with pytest.raises(openai.BadRequestError, match=f"have {size} numbers") as refused:
        client.embeddings.create(model="llink", input=BO, dimensions=size - 1)
    assert refused.value.param == "dimensions"


def test_a_bad_one_among_many_inputs_is_named(client: openai.OpenAI) -> None:
    with pytest.raises(openai.UnprocessableEntityError, match=r"^.*input\[1\].*Russian") as refused:
        client.embeddings.create(model="llink", input=[BO, "Кто там?", KM])
    assert refused.value.param == "input[1]" and "message" not in refused.value.body["message"]  # type: ignore[index]
    # A message has a bound of sentences; a vector stands for a text of any number.
    client.embeddings.create(model="llink", input=BO * 6)


def test_system_texts_are_kept_from_a_decoder_that_was_trained_without(
    client: openai.OpenAI, api: Running
) -> None:
    def response(*turns: tuple[str, str], of: openai.OpenAI = client) -> Any:
        said: Any = [{"role": role, "content": text} for role, text in turns]
        return of.chat.completions.create(model="llink", messages=said, max_tokens=8)

    system = ("system", "You are a helpful assistant.")
    question = ("user", f"How many?\n{BO}")
    alone, both = response(question), response(system, ("developer", "Be brief."), question)
    assert both.choices[0].message.content == alone.choices[0].message.content
    assert both.usage == alone.usage and alone.model_extra["llink"]["notices"] == []
    (notice,) = both.model_extra["llink"]["notices"]
    assert notice["code"] == "system_left_out" and "message itself" in notice["message"]
    # Foreign text in one is what the question is about, and the base takes system texts as it was trained to.
    about = response(("system", BO), ("user", "How many?"))
    assert about.model_extra["llink"]["sentences"] == 1 and not about.model_extra["llink"]["notices"]
    english = response(system, ("user", "Who?"))
    assert english.usage.prompt_tokens > response(("user", "Who?")).usage.prompt_tokens
    with (
        up(Path(api.service.settings.registry), "system_texts=keep") as keeping,
        openai.OpenAI(base_url=f"{keeping.url}/v1", api_key="none") as other,
    ):
        kept = response(system, question, of=other)
    assert kept.usage.prompt_tokens > both.usage.prompt_tokens and not kept.model_extra["llink"]["notices"]


def test_detect_and_tokenize(api: Running) -> None:
    response = httpx2.post(f"{api.url}/v1/detect", json={"input": [f"Who? {BO}", "Кто там?"]}).json()
    first, second = (one["spans"] for one in response["data"])
    assert [(s["language"], s["served"]) for s in first] == [("en", False), ("bo", True)]
    assert (second[0]["language"], second[0]["served"]) == ("ru", False)
    cost = httpx2.post(f"{api.url}/v1/tokenize", json={"model": "llink", "text": f"Who?\n{BO}"}).json()
    assert cost["prompt_tokens"] < cost["prompt_tokens_raw"]


def test_a_language_that_nobody_taught_is_named(client: openai.OpenAI) -> None:
    with pytest.raises(
        openai.UnprocessableEntityError, match=r"Russian \(ru\).*Tibetan \(bo\), Khmer \(km\)"
    ):
        ask(client, "Кто там?")
