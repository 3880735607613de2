"""The engine on transformers: requests join and leave one running batch between tokens."""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any, TypeVar

import torch
from transformers import DynamicCache

from llink_ray.engine.adapter_pool import AdapterPool
from llink_ray.engine.forward import Forward
from llink_ray.engine.handle import Listener, RequestHandle
from llink_ray.engine.protocol import EngineLimits, Snapshot
from llink_ray.engine.request_state import RequestState
from llink_ray.engine.running_batch import RunningBatch
from llink_ray.engine.sampling import token_logprob
from llink_ray.engine.types import EngineRequest, FloatArray, PromptInput, QueueFull, TokenLogprob
from llink_ray.engine.vocabulary import Vocabulary
from llink_ray.errors import LlinkError, TooLong
from llink_ray.models.decoder import Decoder
from llink_ray.prompts import SLOT_ID
from llink_ray.settings import TeacherSettings

_log = logging.getLogger(__name__)
T = TypeVar("T")
_LOGITS_CHUNK = 256
"""Prompt positions whose logits are held at once."""


class BatchedEngine:
    """A :class:`DecoderEngine` with a base decoder, an adapter pool and a running batch.

    ``start`` gives it a thread; without one, ``step`` drives it by hand. Answers do not depend on what else
    is in the batch. A request that fails ends alone.

    Raises:
        LlinkError: the decoder has adapters on it, or cannot be batched row by row.
    """

    def __init__(
        self,
        decoder: Decoder,
        limits: EngineLimits | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.decoder, self.limits, self._clock = decoder, limits or EngineLimits(), clock
        self.pool = AdapterPool(decoder.model)
        self.end_ids = frozenset(decoder.stop_ids())
        """Tokens that end the answers of requests submitted from now on."""
        config = decoder.model.config.get_text_config(decoder=True)
        self._context = int(getattr(config, "max_position_embeddings", None) or self.limits.tokens)
        self._vocab_size = int(decoder.model.get_input_embeddings().weight.shape[0])
        self._vocabulary = Vocabulary(decoder.tokenizer)
        self._forward = Forward(decoder, self.pool)
        self._batch = RunningBatch(self._forward, self._on_leave)
        self._open: set[RequestState] = set()  # submitted and not ended
        self._waiting: deque[RequestState] = deque()
        self._steps_waited = 0  # since a request could have joined
        self._jobs: deque[tuple[Callable[[], Any], Future[Any]]] = deque()
        self._changed = threading.Condition()  # guards the queue, the jobs and whether it is stopped
        self._stepping = threading.RLock()
        self._thread: threading.Thread | None = None
        self._stopped = False
        self._finished = Counter[str]()
        self._try_prefill()

    @torch.inference_mode()
    def _try_prefill(self) -> None:
        """Read one token, to find out whether this decoder can be batched."""
        try:
            self._forward.prefill([PromptInput((0,))], [0])
        except LlinkError:
            raise
        except Exception as error:
            raise LlinkError(
                f"this decoder cannot be batched ({type(error).__name__}: {error}): "
                "choose a decoder with attention in every layer"
            ) from error

    # The protocol: from any thread ----------------------------------------------------------------------

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the decoder's weights."""
        return self.decoder.fingerprint

    @property
    def max_model_len(self) -> int:
        """Tokens of a prompt and its answer together, at most."""
        return min(self._context, self.limits.tokens)

    @property
    def alive(self) -> bool:
        """Whether its thread runs."""
        return self._thread is not None and self._thread.is_alive()

    @property
    def adapters(self) -> list[str]:
        """Names of the loaded adapters."""
        return self.pool.names

    def load_adapter(self, name: str, folder: Path) -> None:
        """See ``DecoderEngine.load_adapter``; a name that is in use is replaced for later requests."""
        self.pool.load(name, folder)

    def unload_adapter(self, name: str) -> None:
        """See ``DecoderEngine.unload_adapter``."""
        self.pool.unload(name)

    def submit(self, request: EngineRequest, listener: Listener | None = None) -> RequestHandle:
        """See ``DecoderEngine.submit``."""
        prompt, limit = request.prompt, self.max_model_len
        prompt.check(self.decoder.dim, self._vocab_size)
        if prompt.length >= limit:
            raise TooLong(f"the prompt has {prompt.length} tokens; with its answer {limit} fit: shorten it")
        handle = RequestHandle(listener)
        with self._changed:
            if self._stopped:
                raise LlinkError("the engine is stopped: start it before asking")
            if len(self._waiting) >= self.limits.waiting:
                raise QueueFull(f"{len(self._waiting)} requests are waiting already: try again later")
            state = RequestState(
                request,
                handle,
                self._vocabulary,
                adapter=self.pool.acquire(request.adapter),
                max_tokens=min(request.sampling.max_tokens, limit - prompt.length),
                end_ids=self.end_ids,
                deadline=None if request.timeout is None else self._clock() + request.timeout,
            )
            self._open.add(state)
            self._waiting.append(state)
            self._changed.notify()
        return handle

    def score(
        self, prompts: Sequence[PromptInput], answer: Sequence[int], adapters: Sequence[str | None]
    ) -> list[float]:
        """See ``DecoderEngine.score``; done between two tokens of the running batch."""
        if not answer or any(not 0 <= i < self._vocab_size for i in answer):
            raise LlinkError(f"an answer to score is token ids 0 to {self._vocab_size - 1}, at least one")
        for prompt in prompts:
            prompt.check(self.decoder.dim, self._vocab_size)
            if prompt.length + len(answer) > self.max_model_len:
                raise TooLong(f"prompt and answer have {prompt.length + len(answer)} tokens: shorten them")
        longest = max((prompt.length for prompt in prompts), default=0) + len(answer)
        size = max(1, self.limits.tokens // longest)
        rows: list[int] = []

        @torch.inference_mode()
        def job() -> list[float]:
            scores: list[float] = []
            for start in range(0, len(prompts), size):
                part = slice(start, start + size)
                scores += self._forward.answer_nll(prompts[part], rows[part], answer)
            return scores

        try:
            for name in adapters:
                rows.append(self.pool.acquire(name))
            return self._between_tokens(job)
        finally:
            for row in rows:
                self.pool.release(row)

    def prompt_logprobs(
        self, prompt: PromptInput, top_count: int, adapter: str | None = None
    ) -> list[TokenLogprob | None]:
        """See ``DecoderEngine.prompt_logprobs``; done in parts, each between two tokens of the batch."""
        prompt.check(self.decoder.dim, self._vocab_size)
        if prompt.length > self.max_model_len:
            raise TooLong(f"the prompt has {prompt.length} tokens, and {self.max_model_len} fit: shorten it")
        cache, entries = DynamicCache(), list[TokenLogprob | None]([None])
        targets = [*prompt.ids[1:], None]
        row = self.pool.acquire(adapter)

        @torch.inference_mode()
        def job(part: slice) -> None:
            embedded = self._forward.embed([prompt])[0][:, part]
            logits = self._forward.extend(embedded, cache, row)  # (_LOGITS_CHUNK, V)
            if not torch.isfinite(logits.max(-1).values).all():
                raise LlinkError("the decoder's output for this prompt is not a number: ask otherwise")
            for scores, target in zip(logits, targets[part], strict=True):
                token = int(scores.argmax()) if target is None else target
                entries.append(
                    None if token == SLOT_ID else token_logprob(scores, token, top_count, self._vocabulary)
                )

        try:
            for start in range(0, prompt.length, _LOGITS_CHUNK):
                part = slice(start, start + _LOGITS_CHUNK)
                self._between_tokens(lambda part=part: job(part))  # type: ignore[misc]
        finally:
            self.pool.release(row)
        return entries

    def teacher_states(self, texts: Sequence[str], teacher: TeacherSettings | None = None) -> FloatArray:
        """See ``DecoderEngine.teacher_states``; done between two tokens of the running batch."""
        size = max(1, self.limits.tokens // (self.decoder.settings.max_teacher_tokens + 1))

        def job() -> torch.Tensor:
            parts = [
                self.decoder.teacher_states(list(texts[start : start + size]), teacher=teacher)
                for start in range(0, len(texts), size)
            ]
            return torch.cat(parts)

        return self._between_tokens(job).numpy()

    def snapshot(self) -> Snapshot:
        """Counters."""
        counts = self._batch.counts.copy()
        with self._changed:
            waiting = len(self._waiting)
            running = len(self._open) - waiting  # within a step the batch itself is in parts
        return Snapshot(
            running=running,
            waiting=waiting,
            prompt_tokens=counts["prompt_tokens"],
            tokens=counts["tokens"],
            joins=counts["joins"],
            finished=dict(self._finished.copy()),
            batch_sizes=dict(self._batch.sizes.copy()),
        )

    def start(self) -> None:
        """Work in a thread of its own until ``stop``."""
        with self._changed:
            if self._thread is not None:
                return
            self._stopped = False
            self._thread = threading.Thread(target=self._loop, name="llink-decoding", daemon=True)
            self._thread.start()

    def stop(self) -> None:
        """End the thread after the current step, and all requests with reason ``error``."""
        with self._changed:
            self._stopped = True
            self._changed.notify_all()
            thread, self._thread = self._thread, None
        if thread is not None:
            thread.join()
        with self._stepping:
            self._end_all("the engine was stopped")

    # The loop -------------------------------------------------------------------------------------------

    def _loop(self) -> None:
        while True:
            try:
                busy = self.step()
            except Exception:  # a defect of the engine: end its requests rather than leave callers waiting
                _log.exception("the decoding loop failed")
                self._end_all("the engine failed")
                busy = False
            with self._changed:
                while not (busy or self._stopped or self._waiting or self._jobs):
                    self._changed.wait()
                if self._stopped:
                    return

    def step(self) -> bool:
        """Let requests leave and join, and give every running one a token. False where nothing was to do."""
        with self._stepping, torch.inference_mode():
            busy = self._run_job()
            self._remove_ending()
            joiners = self._admitted()
            if joiners:
                self._batch.join(joiners)
            stepped = self._batch.step()
            return bool(busy or joiners or stepped)

    def _remove_ending(self) -> None:
        """End requests that were cancelled or are out of time."""
        now = self._clock()
        with self._changed:
            ending = [state for state in self._waiting if state.ending(now)]
            for state in ending:
                self._waiting.remove(state)
        for state in ending:
            self._stays(state, now)
        self._batch.keep(lambda state: self._stays(state, now))

    def _stays(self, state: RequestState, now: float) -> bool:
        reason = state.ending(now)
        if reason is None:
            return True
        state.end(reason)
        self._on_leave(state)
        return False

    def _on_leave(self, state: RequestState) -> None:
        """Count a request that has ended and release its adapter."""
        assert state.handle.finish is not None, "its end was published"
        if state in self._open:
            self._open.remove(state)
            self._finished[state.handle.finish.reason] += 1
            self.pool.release(state.adapter)

    def _admitted(self) -> list[RequestState]:
        """The first of the queue that fit: in rows, in memory, in tokens prefilled between two steps."""
        joiners: list[RequestState] = []
        max_length = max((state.max_length for state in self._batch.rows), default=0)
        longest_prompt = 0
        with self._changed:
            if self._should_wait():
                return []
            while self._waiting:
                state, count = self._waiting[0], len(self._batch.rows) + len(joiners) + 1
                max_length = max(max_length, state.max_length)
                longest_prompt = max(longest_prompt, state.request.prompt.length)
                fits = count <= self.limits.rows and count * max_length <= self.limits.tokens
                if not fits or (joiners and (len(joiners) + 1) * longest_prompt > self.limits.prefill_tokens):
                    break
                joiners.append(self._waiting.popleft())
        return joiners

    def _should_wait(self) -> bool:
        """Whether the next in the queue should wait for others, so that fewer prompts are prefilled alone."""
        running, waiting = len(self._batch.rows), len(self._waiting)
        few = 2 * running >= self.limits.rows and 0 < waiting < self.limits.rows - running
        self._steps_waited = (
            self._steps_waited + 1 if few and self._steps_waited < self.limits.patience else 0
        )
        return self._steps_waited > 0

    # Work between two steps -----------------------------------------------------------------------------

    def _between_tokens(self, job: Callable[[], T]) -> T:
        """Run a job where no forward pass is under way: in the engine's thread if it has one."""
        with self._changed:
            threaded = self._thread is not None and self._thread is not threading.current_thread()
            if threaded:
                done: Future[T] = Future()
                self._jobs.append((job, done))
                self._changed.notify()
        if threaded:
            return done.result()
        with self._stepping:
            return job()

    def _run_job(self) -> bool:
        with self._changed:
            if not self._jobs:
                return False
            job, done = self._jobs.popleft()
        try:
            done.set_result(job())
        except Exception as error:
            done.set_exception(error)
        return True

    def _end_all(self, error: str) -> None:
        with self._changed:
            states, jobs = list(self._open), list(self._jobs)
            self._waiting.clear()
            self._jobs.clear()
        self._batch.clear()
        for state in states:
            state.end("error", error)
            self._on_leave(state)
        for _, done in jobs:
            done.set_exception(LlinkError(f"{error}: ask again"))
