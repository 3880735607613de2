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
from llink_ray.engine.types import EngineRequest, FinishReason, PromptInput, QueueFull, TokenLogprob
from llink_ray.engine.vocabulary import Vocabulary
from llink_ray.errors import LlinkError, TooLong
from llink_ray.models.decoder import Decoder
from llink_ray.prompts.builder import SLOT_ID
from llink_ray.settings import TeacherSettings

_log = logging.getLogger(__name__)
T = TypeVar("T")
_PART = 256
"""Places of a prompt of which all logits are held at once."""


class BatchedEngine:
    """Owns a base decoder, a pool of adapters on it, and a running batch.

    ``start`` gives it a thread; without one, ``step`` drives it by hand. Answers do not depend on what else
    is in the batch. A request that fails ends alone.

    Raises:
        LlinkError: the decoder has adapters on it, or cannot be batched this way.
    """

    def __init__(
        self,
        decoder: Decoder,
        limits: EngineLimits | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.decoder, self.limits, self._clock = decoder, limits or EngineLimits(), clock
        self.pool = AdapterPool(decoder.model)
        self._forward = Forward(decoder, self.pool)
        config = decoder.model.config.get_text_config(decoder=True)
        self._context = int(getattr(config, "max_position_embeddings", None) or self.limits.tokens)
        self._size = int(decoder.model.get_input_embeddings().weight.shape[0])
        self._vocabulary = Vocabulary(decoder.tokenizer)
        self._batch = RunningBatch(self._forward, frozenset(decoder.stop_ids()), self._leave)
        self._open: set[RequestState] = set()  # all that were submitted and have not ended
        self._waiting: deque[RequestState] = deque()
        self._waited = 0  # tokens since somebody could have joined
        self._jobs: deque[tuple[Callable[[], Any], Future[Any]]] = deque()
        self._changed = threading.Condition()  # guards what is waiting, the jobs and whether it is stopped
        self._stepping = threading.RLock()
        self._thread: threading.Thread | None = None
        self._stopped = False
        self._finished = Counter[str]()
        self._try()

    @torch.inference_mode()
    def _try(self) -> None:
        """One token, alone: the engine was made, so the decoder works."""
        try:
            self._forward.prefill([PromptInput(ids=(0,))], [0])
        except LlinkError:
            raise
        except Exception as error:
            raise LlinkError(
                f"this decoder cannot be batched ({type(error).__name__}: {error}): "
                "choose a decoder with attention in every layer"
            ) from error

    # From any thread ------------------------------------------------------------------------------------

    @property
    def longest(self) -> int:
        """Tokens of a prompt and its answer together, at most."""
        return min(self._context, self.limits.tokens)

    def submit(self, request: EngineRequest, listener: Listener | None = None) -> RequestHandle:
        """Queue a request.

        Raises:
            LlinkError: an impossible prompt, an unknown adapter, engine stopped.
            TooLong: longer than the limits.
            Full: ``limits.waiting`` requests wait already.
        """
        prompt = request.prompt
        prompt.check(self.decoder.dim, self._size)
        most = self.longest
        if prompt.length >= most:
            raise TooLong(f"the prompt has {prompt.length} tokens; with its answer {most} fit: shorten it")
        handle = RequestHandle(listener)
        budget = min(request.sampling.max_tokens, most - prompt.length)
        deadline = None if request.seconds is None else self._clock() + request.seconds
        with self._changed:
            if self._stopped:
                raise LlinkError("the engine is stopped: start it before asking")
            if len(self._waiting) >= self.limits.waiting:
                raise QueueFull(f"{len(self._waiting)} requests are waiting already: try again later")
            adapter = self.pool.hold(request.adapter)
            row = RequestState(request, handle, self._vocabulary, adapter, budget, deadline)
            self._open.add(row)
            self._waiting.append(row)
            self._changed.notify()
        return handle

    def score(
        self, prompts: Sequence[PromptInput], answer: str | Sequence[int], adapters: Sequence[str | None]
    ) -> list[float]:
        """Nats a token of one answer behind each prompt; a text is closed by the end of an answer.

        Done between two tokens of the running batch.

        Raises:
            LlinkError: an impossible prompt or answer, an unknown adapter, engine stopped.
            TooLong: longer than the limits.
        """
        ids = self.decoder.prompt.answer(answer) if isinstance(answer, str) else list(answer)
        if not ids or any(not 0 <= i < self._size for i in ids):
            raise LlinkError(f"an answer to score is token ids 0 to {self._size - 1}, at least one")
        for prompt in prompts:
            prompt.check(self.decoder.dim, self._size)
            if prompt.length + len(ids) > self.longest:
                raise TooLong(f"prompt and answer have {prompt.length + len(ids)} tokens: shorten them")
        held: list[int] = []
        try:
            held += [self.pool.hold(name) for name in adapters]
            return self._between_tokens(lambda: self._scores(prompts, held, ids))
        finally:
            for row in held:
                self.pool.release(row)

    def read(self, prompt: PromptInput, count: int, adapter: str | None = None) -> list[TokenLogprob | None]:
        """The S tokens of a prompt as the decoder expected them, with ``count`` alternatives, and the next.

        S + 1 of them: none for the first, which nothing is before, and for slots. The last is the likeliest
        behind the prompt. Done in parts, each between two tokens of the running batch.

        Raises:
            LlinkError: an impossible prompt, an unknown adapter, engine stopped, no numbers.
            TooLong: longer than the limits.
        """
        prompt.check(self.decoder.dim, self._size)
        if prompt.length > self.longest:
            raise TooLong(f"the prompt has {prompt.length} tokens, and {self.longest} fit: shorten it")
        cache, found = DynamicCache(), list[TokenLogprob | None]([None])
        following = [*prompt.ids[1:], None]

        def part(start: int) -> None:
            with torch.inference_mode():
                embedded = self._forward.embed([prompt])[0][:, start : start + _PART]
                logits = self._forward.read(embedded, cache, held)  # (_PART, V)
                if not torch.isfinite(logits.max(-1).values).all():
                    raise LlinkError("the decoder's output for this prompt is not a number: ask otherwise")
                for row, token in zip(logits, following[start : start + _PART], strict=True):
                    chosen = int(row.argmax()) if token is None else token
                    known = chosen != SLOT_ID
                    found.append(token_logprob(row, chosen, count, self._vocabulary) if known else None)

        held = self.pool.hold(adapter)
        try:
            for start in range(0, prompt.length, _PART):
                self._between_tokens(lambda start=start: part(start))  # type: ignore[misc]
        finally:
            self.pool.release(held)
        return found

    def states(self, texts: Sequence[str], teacher: TeacherSettings | None = None) -> torch.Tensor:
        """What the decoder itself says of N English texts, (N, d), float32: see ``Decoder.teacher_states``.

        Done between two tokens of the running batch.
        """

        def job() -> torch.Tensor:
            size = max(1, self.limits.tokens // (self.decoder.settings.max_teacher_tokens + 1))
            parts = [
                self.decoder.teacher_states(list(texts[start : start + size]), teacher=teacher)
                for start in range(0, len(texts), size)
            ]
            return torch.cat(parts)

        return self._between_tokens(job)

    def put(self, name: str, folder: Path | str) -> None:
        """Add or replace an adapter while others decode; see ``AdapterPool.put``."""
        self.pool.put(name, folder)

    def remove(self, name: str) -> None:
        """Take an adapter out while others decode; requests that have it finish with it."""
        self.pool.remove(name)

    @property
    def alive(self) -> bool:
        """Whether its thread runs."""
        return self._thread is not None and self._thread.is_alive()

    @property
    def adapters(self) -> list[str]:
        """Names that a request can ask for."""
        return self.pool.names

    def snapshot(self) -> Snapshot:
        """Counters."""
        counts = self._batch.counts.copy()
        with self._changed:
            waiting = len(self._waiting)
            running = len(self._open) - waiting  # the batch itself is in pieces within a step
        return Snapshot(
            running=running,
            waiting=waiting,
            prompt_tokens=counts["prompt_tokens"],
            tokens=counts["tokens"],
            joins=counts["joins"],
            finished=dict(self._finished.copy()),
            batch_sizes=dict(self._batch.sizes.copy()),
        )

    # The loop -------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Work in a thread of its own until ``stop``."""
        with self._changed:
            if self._thread is not None:
                return
            self._stopped = False
            self._thread = threading.Thread(target=self._loop, name="llink-decoding", daemon=True)
            self._thread.start()

    def stop(self) -> None:
        """End the thread after the token it is at, and all requests with reason ``error``."""
        with self._changed:
            self._stopped = True
            self._changed.notify_all()
            thread, self._thread = self._thread, None
        if thread is not None:
            thread.join()
        with self._stepping:
            self._end_all("the engine was stopped")

    def _loop(self) -> None:
        while True:
            try:
                busy = self.step()
            except Exception:  # a defect of the engine: those it was at have to hear of it
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
            self._reap()
            joiners = self._admitted()
            if joiners:
                self._batch.join(joiners)
            stepped = self._batch.step()
            return bool(busy or joiners or stepped)

    def _reap(self) -> None:
        """Let go of those that were cancelled or whose time is up."""
        now = self._clock()
        with self._changed:
            gone = [row for row in self._waiting if row.handle.cancelled or row.overdue(now)]
            for row in gone:
                self._waiting.remove(row)
        for row in gone:
            self._stays(row, now)
        self._batch.keep(lambda row: self._stays(row, now))

    def _stays(self, row: RequestState, now: float) -> bool:
        reason: FinishReason | None = None
        if row.handle.cancelled:
            reason = "cancelled"
        elif row.overdue(now):
            reason = "deadline"
        if reason is None:
            return True
        row.end(reason)
        self._leave(row)
        return False

    def _leave(self, row: RequestState) -> None:
        """Books of a row that has ended."""
        assert row.handle.finish is not None, "who leaves was told why"
        if row in self._open:
            self._open.remove(row)
            self._finished[row.handle.finish.reason] += 1
            self.pool.release(row.adapter)

    def _admitted(self) -> list[RequestState]:
        """The first in the queue that fit: in rows, in memory, in what is read between two tokens."""
        joiners: list[RequestState] = []
        widest = max((row.reserve for row in self._batch.rows), default=0)
        longest = 0
        with self._changed:
            if self._better_later():
                return []
            while self._waiting:
                row, count = self._waiting[0], len(self._batch.rows) + len(joiners) + 1
                widest, longest = max(widest, row.reserve), max(longest, row.request.prompt.length)
                fits = count <= self.limits.rows and count * widest <= self.limits.tokens
                if not fits or (joiners and (len(joiners) + 1) * longest > self.limits.prefill_tokens):
                    break
                joiners.append(self._waiting.popleft())
        return joiners

    def _better_later(self) -> bool:
        """Whether the next in the queue should wait for others, so that fewer prompts are read alone."""
        running, waiting = len(self._batch.rows), len(self._waiting)
        alone = 2 * running >= self.limits.rows and 0 < waiting < self.limits.rows - running
        self._waited = self._waited + 1 if alone and self._waited < self.limits.patience else 0
        return self._waited > 0

    # Scores and ends ------------------------------------------------------------------------------------

    def _between_tokens(self, job: Callable[[], T]) -> T:
        """Run a job where no forward pass is on: in the engine's thread if it has one."""
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
            job, done = self._jobs.popleft() if self._jobs else (None, None)
        if job is None or done is None:
            return False
        try:
            done.set_result(job())
        except Exception as error:
            done.set_exception(error)
        return True

    @torch.inference_mode()
    def _scores(
        self, prompts: Sequence[PromptInput], adapters: Sequence[int], ids: Sequence[int]
    ) -> list[float]:
        """In as few forward passes as the memory bound allows."""
        scores: list[float] = []
        width = max((prompt.length for prompt in prompts), default=0) + len(ids)
        size = max(1, self.limits.tokens // width)
        for start in range(0, len(prompts), size):
            part = slice(start, start + size)
            scores += self._forward.nats(prompts[part], adapters[part], ids)
        return scores

    def _end_all(self, why: str) -> None:
        with self._changed:
            rows, jobs = list(self._open), list(self._jobs)
            self._waiting.clear()
            self._jobs.clear()
        self._batch.clear()
        for row in rows:
            row.end("error", why)
            self._leave(row)
        for _, done in jobs:
            done.set_exception(LlinkError(f"{why}: ask again"))
