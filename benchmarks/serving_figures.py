"""The figures of ``serving.py``, one after the other."""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Sequence
from typing import Any

from bare import Bare, timed
from http_load import Client, chat, together
from processes import Below

TURNS = 6
"""Of a chat."""


def speed(below: Below, clients: Sequence[Client], questions: Sequence[str], tokens: int) -> dict[str, float]:
    """How fast these clients are answered, in at most so many tokens, and what a request costs."""
    before, own, begun = below.taken(), time.process_time(), time.perf_counter()
    replies = together(clients, questions, lambda client, question: client.chat(question, max_tokens=tokens))
    seconds, own = time.perf_counter() - begun, time.process_time() - own
    after = below.taken()
    bad = [reply for reply in replies if reply.status != 200]
    if bad:
        raise RuntimeError(f"{len(bad)} of {len(replies)} were refused: {bad[0].body}")
    count, made = len(replies), sum(reply.body["usage"]["completion_tokens"] for reply in replies)
    return {
        "requests_per_second": count / seconds,
        "tokens_per_second": made / seconds,
        "tokens_a_request": made / count,
        "p50_ms": 1e3 * statistics.median(reply.seconds for reply in replies),
        "cpu_ms": 1e3 * (after.cpu - before.cpu) / count,
        "client_cpu_ms": 1e3 * own / count,
    }


class Overhead:
    """What a request takes beside the engine, and in which steps; slots in the cache, nobody else asking."""

    def __init__(self, settings: Any, client: Client) -> None:
        from ray import serve

        from serve.app import APPLICATION

        self.bare, self._client = Bare(settings), client
        self.decoder_server = serve.get_deployment_handle("decoder_server", APPLICATION)
        self._reader = serve.get_deployment_handle(self.bare.encoder, APPLICATION)
        for handle in (self.decoder_server, self._reader):  # no event loop runs here, unlike in the ingress
            handle._init(_run_router_in_separate_loop=True)

    def measure(self, questions: Sequence[str]) -> dict[str, float]:
        """Medians in milliseconds; the first few do not count."""
        turns = [self._turn(question) for question in questions]
        turns = turns[min(3, len(turns) - 1) :]
        found = {key: statistics.median(turn[key] for turn in turns) for key in turns[0]}
        found["overhead"] = statistics.median(turn["api"] - turn["engine"] for turn in turns)
        found["reader_hop"] = found.pop("reader_call") - found["reader_cached"]
        found["speaker_hop"] = found.pop("speaker_call") - found["engine"]
        return {key: round(value, 2) for key, value in found.items()}

    def _turn(self, question: str) -> dict[str, float]:
        bare, found = self.bare, dict[str, float]()
        body = json.dumps(chat(question)).encode()
        (_, prepared), found["planning"] = timed(lambda: bare.prepare(body))
        ready, found["reader_new"] = timed(lambda: bare.encode(prepared))
        _, found["reader_cached"] = timed(lambda: bare.encode(prepared))
        answer, found["engine"] = timed(lambda: bare.answer(bare.request(ready)))
        _, found["writing"] = timed(lambda: bare.response(ready, answer))
        found["api_new"] = 1e3 * self._client.chat(question).seconds
        found["api"] = 1e3 * self._client.chat(question).seconds
        found["proxy_and_ingress"] = 1e3 * self._client.get("/health").seconds
        texts = [(prepared.bundles[one.language].ref, one.text) for one in prepared.conversation.sentences]
        _, found["reader_call"] = timed(lambda: self._reader.read.remote(texts).result())
        _, found["speaker_call"] = timed(lambda: self.decoder_server.answer.remote(ready.generation).result())
        return found

    def stop(self) -> None:
        """The models of this process."""
        self.bare.stop()


def accounting(overhead: Overhead, client: Client, questions: Sequence[str]) -> dict[str, Any]:
    """Whether usage is what was fed and made, by the engines' own counts."""
    bare, engine = overhead.bare, overhead.bare.engine
    before, made = engine.snapshot(), overhead.decoder_server.load.remote().result().tokens
    prompt = completion = same = 0
    for question in questions:
        told = client.chat(question).body
        prompt += told["usage"]["prompt_tokens"]
        completion += told["usage"]["completion_tokens"]
        _, prepared = bare.prepare(json.dumps(chat(question)).encode())
        answer = bare.answer(bare.request(bare.encode(prepared)))
        same += answer.text == told["choices"][0]["message"]["content"]
    return {
        "requests": len(questions),
        "prompt_tokens": prompt,
        "prompt_tokens_fed": engine.snapshot().prompt_tokens - before.prompt_tokens,
        "completion_tokens": completion,
        "completion_tokens_made": overhead.decoder_server.load.remote().result().tokens - made,
        "answers_as_the_bare_engine": same,
    }


def caching(client: Client, questions: Sequence[str]) -> dict[str, float]:
    """Time to the first text when the slots have to be made, and when they are there."""
    new, known = [], []
    for question in questions:
        new.append(client.stream(question).first)
        known.append(client.stream(question).first)
    ratios = [hit / miss for hit, miss in zip(known, new, strict=True) if miss]
    return {
        "first_text_new_ms": round(1e3 * statistics.median(new), 2),
        "first_text_cached_ms": round(1e3 * statistics.median(known), 2),
        "cached_over_new": round(statistics.median(ratios), 3),
    }


def chats(client: Client, questions: Any) -> dict[str, float]:
    """Share of earlier turns' sentences whose slots are found in the cache, a chat in each language."""
    earlier = hits = 0
    for code in questions.codes:
        said: list[dict[str, str]] = []
        before = 0
        for _ in range(TURNS):
            said.append({"role": "user", "content": f"Translate this.\n{questions.sentence(code)}"})
            told = client.chat("", messages=said, max_tokens=16).body  # wordy bundles outgrow the context
            earlier += before
            hits += min(before, told["llink"]["slot_cache_hits"])
            before = told["llink"]["sentences"]
            said.append({"role": "assistant", "content": told["choices"][0]["message"]["content"]})
    return {"earlier_sentences": earlier, "earlier_sentences_cached": round(hits / earlier, 3)}
