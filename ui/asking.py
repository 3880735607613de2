"""From a message to its answer on the page: sent, retried, stopped; one model or two."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import aclosing, suppress
from dataclasses import dataclass
from typing import Any

import gradio as gr

from ui import notices, render, tasks
from ui.answering import Answering, Live, Stream, Work
from ui.api import Api, ApiError, Delta, Done
from ui.conversation import Conversation, Message
from ui.conversation_store import ConversationStore
from ui.served import Served
from ui.settings import UiSettings
from ui.view import Updates, View

Request = list[dict[str, str]]
"""Messages as the API takes them."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is asked, of whom."""

    requests: Sequence[Request]
    """One; or of a long text one for each sentence, answered in order."""
    names: tuple[str, ...]
    """The model; a second one stands beside it."""


class Asking:
    """Holds what is on its way; everything else is the browser's."""

    def __init__(self, settings: UiSettings, api: Api, served: Served, view: View) -> None:
        self.settings, self.api, self.served, self.view = settings, api, served, view
        self.live: dict[str, Live] = {}
        """By session."""

    async def send(
        self,
        written: str | None,
        passage: str | None,
        stored: Any,
        model: str,
        task: tasks.Task,
        compare: bool,
        other: str | None,
        memory: bool,
        editing: int | None,
        request: gr.Request,
    ) -> AsyncIterator[Updates]:
        """What was written, sent."""
        p, shelf = self.view.parts, ConversationStore.from_json(stored)
        written, passage = written or "", passage or ""
        if self._is_busy(request) or (task == "chat" and not written.strip()):
            yield {p.error: gr.skip()}
            return
        if crowd := self._crowd():
            yield {p.error: notices.error(crowd)}  # what was written stays in the field
            return
        try:
            asked = await self._asked(task, written, passage)
        except (tasks.TaskError, ApiError) as error:
            yield {p.error: notices.error(error)}
            return
        before = (
            shelf.open.without_unanswered(asked.text) if editing is None else shelf.open.undone_to(editing)
        )
        shelf = shelf.with_open(before.with_user(asked.text))
        wanted = self._wanted(
            shelf.open, asked.pieces, model, other if compare else None, memory and task == "chat"
        )
        first: Updates = {p.written: ""}
        async with aclosing(self._answers(shelf, wanted, request)) as changes:
            async for updates in changes:
                yield first | updates
                first = {}

    async def retry(
        self, stored: Any, model: str, compare: bool, other: str | None, memory: bool, request: gr.Request
    ) -> AsyncIterator[Updates]:
        """The last message once more."""
        shelf = ConversationStore.from_json(stored)
        if self._is_busy(request):
            yield {self.view.parts.error: gr.skip()}
            return
        problem = await self.served.look()
        if not shelf.open.messages:
            yield self.view.menus() | self.view.rest(shelf, problem=problem)
            return
        if crowd := self._crowd():
            yield {self.view.parts.error: notices.error(crowd)}
            return
        shelf = shelf.with_open(shelf.open.retried())
        pieces: Sequence[str] = ()
        if text := tasks.translated(shelf.open.messages[-1].text):
            with suppress(tasks.TaskError, ApiError):
                pieces = (await self._asked("translate", text, "")).pieces
        wanted = self._wanted(shelf.open, pieces, model, other if compare else None, memory)
        async with aclosing(self._answers(shelf, wanted, request)) as changes:
            async for updates in changes:
                yield updates

    def stop(self, request: gr.Request) -> None:
        """End what is on its way; what arrived stays."""
        if live := self.live.get(str(request.session_hash)):
            live.stop()

    def _is_busy(self, request: gr.Request) -> bool:
        return str(request.session_hash) in self.live

    def _crowd(self) -> str:
        return notices.crowded(len(self.live)) if len(self.live) >= self.settings.concurrent else ""

    async def _asked(self, task: tasks.Task, written: str, passage: str) -> tasks.Asked:
        code: str | None = None
        if task != "chat" and (text := (passage if task == "ask" else written).strip()):
            spans = await self.api.detect(text)
            code = max(spans, key=lambda span: span.end - span.start).code if spans else None
        return tasks.ask(task, written, passage, self.served.most(code), code)

    def _wanted(
        self, conversation: Conversation, pieces: Sequence[str], model: str, other: str | None, memory: bool
    ) -> Wanted:
        messages = conversation.api_messages()
        requests = [[{"role": "user", "content": piece}] for piece in pieces] or [
            messages if memory else messages[-1:]
        ]
        return Wanted(requests, (model, other) if other else (model,))

    async def _answers(
        self, shelf: ConversationStore, wanted: Wanted, request: gr.Request
    ) -> AsyncGenerator[Updates, None]:
        """Ask, and show what comes."""
        p, session = self.view.parts, str(request.session_hash)
        answers = [Answering(self._stream(wanted.requests, name)) for name in wanted.names]
        spans: list[dict[str, Any]] = []
        looking = self._looking(shelf.open.messages[-1].text, spans)
        live = self.live[session] = Live([*(answer.run for answer in answers), looking])
        try:
            yield self.view.busy(shelf, len(answers) > 1)
            shown = 0
            async with aclosing(live.changes()) as changes:
                async for _ in changes:
                    updates = self.view.coming(wanted.names, answers)
                    if len(spans) != shown:
                        shelf, shown = shelf.with_open(shelf.open.with_spans(spans)), len(spans)
                        updates[p.chat] = render.transcript(shelf.open)
                    yield updates
            if len(spans) != shown:
                shelf = shelf.with_open(shelf.open.with_spans(spans))
            ended = await self._ended(shelf, answers, wanted.names)
            self._over(session, live)  # before the page shows it: who is quick may ask at once
            yield ended
        finally:
            self._over(session, live)
            await live.end()

    def _over(self, session: str, live: Live) -> None:
        if self.live.get(session) is live:
            del self.live[session]

    def _stream(self, requests: Sequence[Request], model: str) -> Stream:
        if len(requests) == 1:
            return lambda: self.api.chat(requests[0], model, max_tokens=None, grounding=True)
        return lambda: self._in_turn(requests, model)

    async def _in_turn(self, requests: Sequence[Request], model: str) -> AsyncGenerator[Delta | Done, None]:
        """Each for itself, in order; told as one answer, a line each."""
        done = list[Done]()
        for place, messages in enumerate(requests):
            if place:
                yield Delta("\n")
            events = self.api.chat(messages, model, max_tokens=None, grounding=False)
            async with aclosing(events):
                async for event in events:
                    if isinstance(event, Done):
                        done.append(event)
                    else:
                        yield event
        yield tasks.together(done)

    def _looking(self, text: str, found: list[dict[str, Any]]) -> Work:
        async def look(changed: Callable[[], None]) -> None:
            found.extend(await self.served.spans(text))
            changed()

        return look

    async def _ended(
        self, shelf: ConversationStore, answers: Sequence[Answering], names: Sequence[str]
    ) -> Updates:
        problem = next((answer.error for answer in answers if answer.error), None)
        messages = [await self._message(answer, name) for answer, name in zip(answers, names, strict=True)]
        if not messages[0].text and answers[0].error:
            return self.view.rest(shelf, problem=problem)
        shelf = shelf.with_open(shelf.open.with_answer(messages[0]))
        if len(messages) == 1 or problem:
            return self.view.rest(shelf, problem=problem)
        pair = {"models": list(names), "messages": [message.to_json() for message in messages]}
        columns = self.view.coming(names, answers)
        return self.view.rest(shelf, held=True) | columns | {self.view.parts.pair: pair}

    async def _message(self, answer: Answering, model: str) -> Message:
        spans = await self.served.spans(answer.text)
        seen = None if answer.seen is None else {**answer.seen, "model": model}
        told = notices.broken(answer.error, answer.stopped, answer.done)
        return Message("assistant", answer.text, tuple(spans), seen, told, None)
