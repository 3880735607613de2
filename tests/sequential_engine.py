"""The smallest decoder engine: one request at a time with PEFT. It shares the protocol with the real one."""

from __future__ import annotations

import threading
import time
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel

from llink_ray.engine import (
    EngineLimits,
    EngineRequest,
    FinishReason,
    Listener,
    PromptInput,
    QueueFull,
    RequestHandle,
    Snapshot,
    TokenLogprob,
)
from llink_ray.engine.request_state import RequestState
from llink_ray.engine.sampling import token_logprob
from llink_ray.engine.types import FloatArray
from llink_ray.engine.vocabulary import Vocabulary
from llink_ray.errors import LlinkError, TooLong
from llink_ray.models.decoder import Decoder
from llink_ray.prompts import SLOT_ID
from llink_ray.settings import TeacherSettings


class SequentialEngine:
    """Requests wait for each other; adapters are PEFT's own, switched before every forward pass."""

    def __init__(self, decoder: Decoder, limits: EngineLimits | None = None) -> None:
        self.limits = limits or EngineLimits()
        self._decoder, self._model = decoder, decoder.model
        self._table = decoder.model.get_input_embeddings()
        self._context = int(decoder.model.config.max_position_embeddings)
        self._vocabulary, self._end_ids = Vocabulary(decoder.tokenizer), frozenset(decoder.stop_ids())
        self._slugs: dict[str, int] = {}  # PEFT's names: positive numbers, never used twice
        self._loaded = 0
        self._waiting: deque[RequestState] = deque()
        self._running: RequestState | None = None
        self._counts = Counter[str]()
        self._finished = Counter[str]()
        self._changed, self._forward = threading.Condition(threading.RLock()), threading.RLock()
        self._thread: threading.Thread | None = None
        self._stopped = False

    @property
    def fingerprint(self) -> str:
        return self._decoder.fingerprint

    @property
    def max_model_len(self) -> int:
        return min(self._context, self.limits.tokens)

    @property
    def alive(self) -> bool:
        return self._thread is not None and self._thread.is_alive()

    @property
    def adapters(self) -> list[str]:
        return sorted(self._slugs)

    def start(self) -> None:
        if self._thread is None:
            self._stopped = False
            self._thread = threading.Thread(target=self._loop, daemon=True)
            self._thread.start()

    def stop(self) -> None:
        with self._changed:
            self._stopped, thread, self._thread = True, self._thread, None
            self._changed.notify_all()
        if thread is not None:
            thread.join()
        while self._waiting:
            self._end(self._waiting.popleft(), "error", "the engine was stopped")

    def snapshot(self) -> Snapshot:
        with self._changed:
            return Snapshot(
                running=int(self._running is not None),
                waiting=len(self._waiting),
                prompt_tokens=self._counts["prompt_tokens"],
                tokens=self._counts["tokens"],
                joins=self._counts["joins"],
                finished=dict(self._finished),
                batch_sizes={1: self._counts["tokens"]},
            )

    def submit(self, request: EngineRequest, listener: Listener | None = None) -> RequestHandle:
        prompt = request.prompt
        self._check(prompt)
        room = self.max_model_len - prompt.length
        if room <= 0:
            raise TooLong(f"the prompt has {prompt.length} tokens: shorten it")
        handle = RequestHandle(listener, on_cancel=self._drop_cancelled)
        state = RequestState(
            request,
            handle,
            self._vocabulary,
            adapter=self._slug(request.adapter),
            max_tokens=min(room, request.sampling.max_tokens),
            end_ids=self._end_ids,
            deadline=None if request.timeout is None else time.monotonic() + request.timeout,
        )
        with self._changed:
            if self._stopped:
                raise LlinkError("the engine is stopped")
            if len(self._waiting) >= self.limits.waiting:
                raise QueueFull(f"{len(self._waiting)} requests are waiting already")
            self._waiting.append(state)
            self._changed.notify()
        return handle

    def score(
        self, prompts: Sequence[PromptInput], answer: Sequence[int], adapters: Sequence[str | None]
    ) -> list[float]:
        if not answer or not all(0 <= i < len(self._table.weight) for i in answer):
            raise LlinkError("an answer to score is token ids, at least one")
        scores = []
        for prompt, adapter in zip(prompts, adapters, strict=True):
            self._check(prompt)
            if prompt.length + len(answer) > self.max_model_len:
                raise TooLong("prompt and answer are too long: shorten them")
            logprobs = self._logprobs(prompt, answer, adapter)[-len(answer) - 1 : -1]
            scores.append(-float(logprobs.gather(1, torch.tensor(answer)[:, None]).mean()))
        return scores

    def prompt_logprobs(
        self, prompt: PromptInput, top_count: int, adapter: str | None = None
    ) -> list[TokenLogprob | None]:
        self._check(prompt)
        if prompt.length > self.max_model_len:
            raise TooLong("the prompt is too long: shorten it")
        rows = self._logprobs(prompt, (), adapter)
        targets = [*prompt.ids[1:], int(rows[-1].argmax())]
        found = [
            None if token == SLOT_ID else token_logprob(row, token, top_count, self._vocabulary)
            for row, token in zip(rows, targets, strict=True)
        ]
        return [None, *found]

    def teacher_states(self, texts: Sequence[str], teacher: TeacherSettings | None = None) -> FloatArray:
        with self._forward:
            return self._decoder.teacher_states(list(texts), teacher=teacher).numpy()

    def load_adapter(self, name: str, folder: Path) -> None:
        with self._forward:
            slug = str(self._loaded + 1)
            try:
                if self._loaded == 0:
                    self._model = PeftModel.from_pretrained(self._model, str(folder), adapter_name=slug)
                else:
                    self._model.load_adapter(str(folder), adapter_name=slug)
            except Exception as error:
                raise LlinkError(f"{folder} is no adapter for this decoder: {error}") from error
            self._loaded += 1
            self._slugs[name] = self._loaded

    def unload_adapter(self, name: str) -> None:
        self._slug(name)
        del self._slugs[name]

    def _slug(self, name: str | None) -> int:
        if name is not None and name not in self._slugs:
            raise LlinkError(f"there is no adapter {name!r} here")
        return self._slugs[name] if name is not None else 0

    def _check(self, prompt: PromptInput) -> None:
        prompt.check(self._decoder.dim, len(self._table.weight))

    @contextmanager
    def _adapted(self, slug: int) -> Iterator[None]:
        with self._forward, torch.inference_mode():
            if slug:
                self._model.set_adapter(str(slug))
                yield
            elif self._loaded:
                with self._model.disable_adapter():
                    yield
            else:
                yield

    def _embedded(self, prompt: PromptInput, more: Sequence[int] = ()) -> torch.Tensor:
        """(1, S + T, d)"""
        ids = torch.tensor([*prompt.ids, *more])
        embedded: torch.Tensor = self._table(ids.clamp(min=0)).clone()
        if prompt.slots is not None:
            embedded[: prompt.length][torch.tensor(~prompt.token_mask)] = torch.tensor(prompt.slots)
        return embedded[None]

    def _logprobs(self, prompt: PromptInput, more: Sequence[int], adapter: str | None) -> torch.Tensor:
        with self._adapted(self._slug(adapter)):
            logits: torch.Tensor = self._model(inputs_embeds=self._embedded(prompt, more)).logits[0]
            return logits.float().log_softmax(-1)

    def _loop(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._stopped or self._waiting)
                if self._stopped:
                    return
                self._running = self._waiting.popleft()
            self._run(self._running)

    def _run(self, state: RequestState) -> None:
        self._counts["joins"] += 1
        cache: Any = None
        try:
            with torch.inference_mode():
                fed = self._embedded(state.request.prompt)
            while True:
                reason = "error" if self._stopped else state.ending(time.monotonic())
                if reason is not None:
                    return self._end(state, reason, "the engine was stopped" if self._stopped else None)
                with self._adapted(state.adapter):
                    output = self._model(inputs_embeds=fed, past_key_values=cache, use_cache=True)
                    logits, cache = output.logits[0, -1].float(), output.past_key_values
                    self._counts["prompt_tokens"] += 0 if state.prompt_tokens else fed.shape[1]
                    state.prompt_tokens = state.request.prompt.length
                    token = state.sampler(logits)
                    self._counts["tokens"] += 1
                    if not state.advance(token, logits):
                        return self._end(state)
                    fed = self._table(torch.tensor([[token]]))
        except Exception as error:
            self._end(state, "error", type(error).__name__)

    def _end(self, state: RequestState, reason: FinishReason = "error", error: str | None = None) -> None:
        state.end(reason, error)
        assert state.handle.finish is not None
        with self._changed:
            self._finished[state.handle.finish.reason] += 1
            if self._running is state:
                self._running = None

    def _drop_cancelled(self) -> None:
        with self._changed:
            dropped = [state for state in self._waiting if state.handle.cancelled]
            for state in dropped:
                self._waiting.remove(state)
        for state in dropped:
            self._end(state, "cancelled")
