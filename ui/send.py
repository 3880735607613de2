"""Handlers that ask the API: send, retry and stop, for one model or two side by side."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import aclosing, suppress
from functools import partial
from typing import Any

import gradio as gr

from ui import notices, render, tasks
from ui.api_client import ApiClient, ApiError, Completion, TextDelta
from ui.conversation import Message
from ui.conversation_store import ConversationStore
from ui.model_list import ModelList
from ui.running_answers import RunningAnswer, RunningTasks
from ui.settings import UiSettings
from ui.view import Updates, View


class SendHandlers:
    """Holds the answers that are being streamed; all other state is the browser's."""

    def __init__(self, settings: UiSettings, api: ApiClient, models: ModelList, view: View) -> None:
        self.settings, self.api, self.models, self.view = settings, api, models, view
        self.running: dict[str, RunningTasks] = {}
        """By session."""

    async def send(
        self,
        message: str | None,
        passage: str | None,
        stored: Any,
        model: str,
        task: tasks.Task,
        compare: bool,
        other_model: str | None,
        memory: bool,
        editing: int | None,
        request: gr.Request,
    ) -> AsyncIterator[Updates]:
        """Send the input; ``editing`` is the index of the message that it replaces."""
        c, store = self.view.components, ConversationStore.from_json(stored)
        message, passage = message or "", passage or ""
        if self._is_busy(request) or (task == "chat" and not message.strip()):
            yield {c.error: gr.skip()}
            return
        if refusal := self._too_many_answers():
            yield {c.error: notices.error_box(refusal)}  # the input keeps its text
            return
        try:
            prompt = await self._build_prompt(task, message, passage)
        except (tasks.TaskError, ApiError) as error:
            yield {c.error: notices.error_box(error)}
            return
        conversation = (
            store.open.without_unanswered(prompt.text) if editing is None else store.open.truncated(editing)
        )
        store = store.with_open(conversation.with_user(prompt.text))
        names = (model, other_model) if compare and other_model else (model,)
        clear_input: Updates = {c.message: ""}
        answers = self._answer(store, prompt.parts, names, memory and task == "chat", request)
        async with aclosing(answers) as changes:
            async for updates in changes:
                yield clear_input | updates
                clear_input = {}

    async def retry(
        self,
        stored: Any,
        model: str,
        compare: bool,
        other_model: str | None,
        memory: bool,
        request: gr.Request,
    ) -> AsyncIterator[Updates]:
        """Ask the last message again."""
        c, store = self.view.components, ConversationStore.from_json(stored)
        if self._is_busy(request):
            yield {c.error: gr.skip()}
            return
        error = await self.models.refresh()
        if not store.open.messages:
            yield self.view.menus() | self.view.idle(store, error=error)
            return
        if refusal := self._too_many_answers():
            yield {c.error: notices.error_box(refusal)}
            return
        store = store.with_open(store.open.without_answer())
        parts: Sequence[str] = ()
        if text := tasks.translated_text(store.open.messages[-1].text):
            with suppress(tasks.TaskError, ApiError):
                parts = (await self._build_prompt("translate", text, "")).parts
        names = (model, other_model) if compare and other_model else (model,)
        async with aclosing(self._answer(store, parts, names, memory, request)) as changes:
            async for updates in changes:
                yield updates

    def stop(self, request: gr.Request) -> None:
        """Cancel the running answer; what has arrived stays."""
        if running := self.running.get(str(request.session_hash)):
            running.stop()

    def _is_busy(self, request: gr.Request) -> bool:
        return str(request.session_hash) in self.running

    def _too_many_answers(self) -> str:
        count = len(self.running)
        return notices.too_many_answers(count) if count >= self.settings.concurrent else ""

    async def _build_prompt(self, task: tasks.Task, message: str, passage: str) -> tasks.TaskPrompt:
        code: str | None = None
        if task != "chat" and (text := (passage if task == "ask" else message).strip()):
            spans = await self.api.detect(text)
            code = max(spans, key=lambda span: span.end - span.start).language if spans else None
        return tasks.build_prompt(task, message, passage, self.models.max_sentences(code), code)

    async def _answer(
        self,
        store: ConversationStore,
        parts: Sequence[str],
        names: Sequence[str],
        memory: bool,
        request: gr.Request,
    ) -> AsyncGenerator[Updates, None]:
        """Ask each model the last message, as a whole or in ``parts``, and show what arrives."""
        session, messages = str(request.session_hash), store.open.api_messages()
        requests = [[{"role": "user", "content": part}] for part in parts]
        requests = requests or [messages if memory else messages[-1:]]
        answers = [RunningAnswer(partial(self._stream, requests, name)) for name in names]
        spans: list[dict[str, Any]] = []

        async def detect(notify: Callable[[], None]) -> None:
            spans.extend(await self.models.spans(store.open.messages[-1].text))
            notify()

        running = self.running[session] = RunningTasks([*(answer.run for answer in answers), detect])
        try:
            yield self.view.busy(store, len(answers) > 1)
            spans_shown = False
            async with aclosing(running.changes()) as changes:
                async for _ in changes:
                    updates = self.view.partial_answers(names, answers)
                    if spans and not spans_shown:
                        spans_shown = True
                        conversation = store.open.with_spans(spans)
                        updates[self.view.components.history] = render.transcript(conversation)
                    yield updates
            if spans:
                store = store.with_open(store.open.with_spans(spans))
            updates = await self._finished(store, answers, names)
            self._forget(session, running)  # before the page shows it, so that the next message is accepted
            yield updates
        finally:
            self._forget(session, running)
            await running.close()

    def _forget(self, session: str, running: RunningTasks) -> None:
        if self.running.get(session) is running:
            del self.running[session]

    async def _stream(
        self, requests: Sequence[list[dict[str, str]]], model: str
    ) -> AsyncGenerator[TextDelta | Completion, None]:
        """The answers to all requests in order, as one answer with a line for each."""
        completions = list[Completion]()
        for messages in requests:
            if completions:
                yield TextDelta("\n")
            events = self.api.chat(messages, model, grounding=len(requests) == 1)
            async with aclosing(events):
                async for event in events:
                    if isinstance(event, Completion):
                        completions.append(event)
                    else:
                        yield event
        yield completions[0] if len(completions) == 1 else tasks.merge(completions)

    async def _finished(
        self, store: ConversationStore, answers: Sequence[RunningAnswer], names: Sequence[str]
    ) -> Updates:
        error = next((answer.error for answer in answers if answer.error), None)
        messages = [await self._message(answer, name) for answer, name in zip(answers, names, strict=True)]
        if not messages[0].text and answers[0].error:
            return self.view.idle(store, error=error)
        store = store.with_open(store.open.with_answer(messages[0]))
        if len(messages) == 1 or error:
            return self.view.idle(store, error=error)
        pair = {"models": list(names), "messages": [message.to_json() for message in messages]}
        columns = self.view.partial_answers(names, answers)
        return self.view.idle(store, vote_pending=True) | columns | {self.view.components.pair: pair}

    async def _message(self, answer: RunningAnswer, model: str) -> Message:
        spans = await self.models.spans(answer.text)
        metadata = None if answer.metadata is None else {**answer.metadata, "model": model}
        error = notices.why_incomplete(answer.error, answer.stopped, answer.completion)
        return Message("assistant", answer.text, tuple(spans), metadata, error)
