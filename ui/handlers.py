"""What happens on a click. State is the browser's; here is only what is on its way."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

import gradio as gr

from ui import examples, models, notices, render, tasks
from ui.answering import Answering, Live, Stream, follow
from ui.api import Api, ApiError, Delta, Done, Model
from ui.conversation import Conversation, Message
from ui.parts import Parts
from ui.settings import UiSettings
from ui.shelf import Shelf
from ui.votes import Votes

Updates = dict[Any, Any]
_MODELS_SECONDS = 5.0
"""For so long the list of models is taken to be what it was."""


class Handlers:
    """One for the whole page; people are told apart by their session."""

    def __init__(self, settings: UiSettings, api: Api, parts: Parts) -> None:
        self.settings, self.api, self.parts = settings, api, parts
        self.votes = Votes(settings.votes)
        self.live: dict[str, Live] = {}
        """What is on its way, by session."""
        self._models: list[Model] = []
        self._asked_models = float("-inf")

    # What is shown.

    def view(
        self, shelf: Shelf, *, problem: Exception | str | None = None, note: str = "", held: bool = False
    ) -> Updates:
        """The page at rest; ``held`` keeps the last answer back, since it stands in a column."""
        p, conversation = self.parts, shelf.open
        messages = conversation.messages
        answered = bool(messages) and messages[-1].role == "assistant"
        shown = Conversation(conversation.id, conversation.title, messages[:-1]) if held else conversation
        can_vote = self.settings.votes is not None and answered and not held
        vote = messages[-1].vote if answered else None
        return {
            p.store: shelf.to_json(),
            p.editing: None,
            p.pair: gr.skip() if held else None,
            p.listed: gr.update(choices=shelf.titles, value=shelf.open_id, interactive=True),
            p.new: gr.update(interactive=True),
            p.delete: gr.update(interactive=True),
            p.chat: render.transcript(shown),
            p.coming: "",
            p.hello: "" if messages else self.hello(),
            p.columns: gr.update(visible=held),
            p.votes: gr.update(visible=held),
            p.error: notices.error(problem) or notices.hint(note),
            p.retry: gr.update(visible=bool(messages) and not held),
            p.undo: gr.update(visible=bool(messages)),
            p.clear: gr.update(visible=bool(messages)),
            p.up: gr.update(visible=can_vote, variant="primary" if vote == "up" else "secondary"),
            p.down: gr.update(visible=can_vote, variant="primary" if vote == "down" else "secondary"),
            p.cancel: gr.update(visible=False),
            p.send: gr.update(visible=True),
            p.stop: gr.update(visible=False),
        }

    def busy(self, shelf: Shelf, two: bool) -> Updates:
        """The page while an answer is awaited."""
        p, off = self.parts, gr.update(interactive=False)
        found: Updates = {
            p.store: shelf.to_json(),
            p.editing: None,
            p.pair: None,
            p.listed: gr.update(choices=shelf.titles, value=shelf.open_id, interactive=False),
            p.new: off,
            p.delete: off,
            p.chat: render.transcript(shelf.open),
            p.coming: "" if two else render.coming(""),
            p.hello: "",
            p.columns: gr.update(visible=two),
            p.votes: gr.update(visible=False),
            p.error: "",
            p.send: gr.update(visible=False),
            p.stop: gr.update(visible=True),
        }
        hidden = (p.retry, p.undo, p.clear, p.up, p.down, p.cancel)
        return found | {part: gr.update(visible=False) for part in hidden}

    def hello(self) -> str:
        """What stands where nothing was said yet."""
        return render.hello(examples.html(models.served(self._models)))

    # Models.

    async def known_models(self) -> list[Model]:
        """What the API offers now.

        Raises:
            ApiError: it does not say.
        """
        if time.monotonic() - self._asked_models > _MODELS_SECONDS:
            self._models = await self.api.models()
            self._asked_models = time.monotonic()
        return self._models

    async def load(self, stored: Any) -> Updates:
        """A page was opened."""
        problem: ApiError | None = None
        try:
            await self.known_models()
        except ApiError as error:
            problem = error
        return self.menus() | self.view(Shelf.from_json(stored), problem=problem)

    def menus(self) -> Updates:
        """The two menus of models."""
        reading, beside = models.readings(self._models), models.others(self._models)
        return {
            self.parts.language: gr.update(choices=reading or [("Find the language", models.AUTO)]),
            self.parts.other: gr.update(choices=beside, value=beside[0][1] if beside else None),
        }

    # Asking.

    async def send(
        self,
        written: str,
        passage: str,
        stored: Any,
        model: str,
        task: tasks.Task,
        compare: bool,
        other: str | None,
        editing: int | None,
        request: gr.Request,
    ) -> AsyncIterator[Updates]:
        """What was written, sent."""
        shelf = Shelf.from_json(stored)
        written, passage = written or "", passage or ""
        if str(request.session_hash) in self.live or (task == "chat" and not written.strip()):
            yield {self.parts.error: gr.skip()}
            return
        try:
            asked = await self._asked(task, written, passage, model)
        except (tasks.TaskError, ApiError) as error:
            yield {self.parts.error: notices.error(error)}
            return
        before = shelf.open if editing is None else shelf.open.undone_to(editing)
        shelf = shelf.with_open(before.with_user(asked.text))
        first: Updates = {self.parts.written: ""}
        async for updates in self._answers(shelf, model, other if compare else None, asked.pieces, request):
            yield first | updates
            first = {}

    async def retry(
        self, stored: Any, model: str, compare: bool, other: str | None, request: gr.Request
    ) -> AsyncIterator[Updates]:
        """The last message once more."""
        shelf = Shelf.from_json(stored)
        if str(request.session_hash) in self.live:
            yield {self.parts.error: gr.skip()}
            return
        if not shelf.open.messages:
            yield await self.load(stored)
            return
        shelf = shelf.with_open(shelf.open.retried())
        text = shelf.open.messages[-1].text
        pieces: Sequence[str] = ()
        if text.startswith(f"{tasks.TRANSLATE[0]}\n"):
            with contextlib.suppress(tasks.TaskError, ApiError):
                pieces = (await self._asked("translate", text.partition("\n")[2], "", model)).pieces
        async for updates in self._answers(shelf, model, other if compare else None, pieces, request):
            yield updates

    async def _asked(self, task: tasks.Task, written: str, passage: str, model: str) -> tasks.Asked:
        code: str | None = None
        if task != "chat" and (written.strip() or passage.strip()):
            spans = await self.api.detect(passage.strip() or written.strip())
            code = max(spans, key=lambda span: span.end - span.start).code if spans else None
        return tasks.ask(task, written, passage, None, code)

    async def _answers(
        self, shelf: Shelf, model: str, other: str | None, pieces: Sequence[str], request: gr.Request
    ) -> AsyncIterator[Updates]:
        """Ask, and show what comes."""
        p, session = self.parts, str(request.session_hash)
        if len(self.live) >= self.settings.concurrent:
            yield self.view(shelf, problem=notices.crowded(len(self.live)))
            return
        live = self.live[session] = Live()
        try:
            answers = [Answering(self._stream(shelf.open, name, pieces)) for name in (model, other) if name]
            two = len(answers) == 2
            yield self.busy(shelf, two)
            spans: list[dict[str, Any]] = []
            look = self._looking(shelf.open.messages[-1].text, spans)
            shown = 0
            async for _ in follow(live, [answer.run for answer in answers] + [look]):
                updates: Updates = {}
                if len(spans) != shown:
                    shown = len(spans)
                    shelf = shelf.with_open(shelf.open.with_spans(spans))
                    updates[p.chat] = render.transcript(shelf.open)
                if two:
                    updates[p.left], updates[p.right] = self._columns(answers, model, str(other))
                else:
                    updates[p.coming] = render.coming(answers[0].text, answers[0].progress)
                yield updates
            yield await self._ended(shelf, answers, model, other)
        finally:
            self.live.pop(session, None)

    def _stream(self, conversation: Conversation, model: str, pieces: Sequence[str]) -> Stream:
        if not pieces:
            return lambda: self.api.chat(conversation.api_messages(), model, max_tokens=None, grounding=True)
        return lambda: self._in_turn(pieces, model)

    async def _in_turn(self, pieces: Sequence[str], model: str) -> AsyncIterator[Delta | Done]:
        """Each piece for itself, in order; told as one answer."""
        done = list[Done]()
        for place, piece in enumerate(pieces):
            if place:
                yield Delta("\n")
            async with contextlib.aclosing(
                self.api.chat([{"role": "user", "content": piece}], model, max_tokens=None, grounding=False)
            ) as events:
                async for event in events:
                    if isinstance(event, Done):
                        done.append(event)
                    else:
                        yield event
        yield tasks.together(done)

    def _looking(self, text: str, found: list[dict[str, Any]]) -> Callable[[Callable[[], None]], Any]:
        async def look(changed: Callable[[], None]) -> None:
            with contextlib.suppress(ApiError):  # the answer says what is wrong
                found.extend(await self._spans(text))
            changed()

        return look

    async def _spans(self, text: str) -> list[dict[str, Any]]:
        if not text.strip():
            return []
        served = models.served(self._models)
        return [
            {
                "start": span.start,
                "end": span.end,
                "language": span.code,
                "name": span.name,
                "own_name": span.own_name,
                "confidence": span.confidence,
                "served": span.code in served,
            }
            for span in await self.api.detect(text)
        ]

    async def _message(self, answer: Answering, model: str) -> Message:
        spans: list[dict[str, Any]] = []
        with contextlib.suppress(ApiError):
            spans = await self._spans(answer.text)
        seen = None if answer.seen is None else {**answer.seen, "model": model}
        broken = notices.broken(answer.error, answer.stopped)
        return Message("assistant", answer.text, tuple(spans), seen, broken, None)

    async def _ended(
        self, shelf: Shelf, answers: Sequence[Answering], model: str, other: str | None
    ) -> Updates:
        problem = next((answer.error for answer in answers if answer.error), None)
        names = (model, str(other))
        messages = [await self._message(answer, name) for answer, name in zip(answers, names, strict=False)]
        if not messages[0].text and answers[0].error:
            return self.view(shelf, problem=problem)
        shelf = shelf.with_open(shelf.open.with_answer(messages[0]))
        if len(messages) == 1 or problem:
            return self.view(shelf, problem=problem)
        p = self.parts
        left, right = self._columns(answers, model, str(other))
        pair = {"models": names, "messages": [message.to_json() for message in messages]}
        return self.view(shelf, held=True) | {p.left: left, p.right: right, p.pair: pair}

    def _columns(self, answers: Sequence[Answering], *names: str) -> list[str]:
        return [
            render.column(models.label(self._models, name), answer)
            for name, answer in zip(names, answers, strict=True)
        ]

    def stop(self, request: gr.Request) -> None:
        """End what is on its way."""
        if live := self.live.get(str(request.session_hash)):
            live.stop()

    # Conversations.

    def undo(self, stored: Any) -> Updates:
        """Without the last message and its answer; the message goes back into the field."""
        shelf = Shelf.from_json(stored)
        last = next((m.text for m in reversed(shelf.open.messages) if m.role == "user"), "")
        return self.view(shelf.with_open(shelf.open.undone())) | {self.parts.written: last}

    def clear(self, stored: Any) -> Updates:
        """The conversation, empty."""
        shelf = Shelf.from_json(stored)
        return self.view(shelf.with_open(Conversation(shelf.open_id, "", ())))

    def new(self, stored: Any) -> Updates:
        """Another conversation."""
        return self.view(Shelf.from_json(stored).added()) | {self.parts.written: ""}

    def delete(self, stored: Any) -> Updates:
        """Without the open conversation."""
        return self.view(Shelf.from_json(stored).deleted())

    def choose(self, stored: Any, wanted: str) -> Updates:
        """One of the list."""
        return self.view(Shelf.from_json(stored).opened(wanted))

    def cancel(self, stored: Any) -> Updates:
        """An edit is left."""
        return self.view(Shelf.from_json(stored)) | {self.parts.written: ""}

    def clicked(self, stored: Any, event: gr.EventData) -> Updates:
        """Something within the messages: edit, or an example."""
        p, data = self.parts, event._data or {}
        if isinstance(data.get("example"), str):
            return {
                p.written: gr.update(value=data["example"], autofocus=True),
                p.task: "chat",
                p.passage: gr.update(visible=False),
            }
        messages = Shelf.from_json(stored).open.messages
        place = data.get("edit")
        if not isinstance(place, int) or not 0 <= place < len(messages) or messages[place].role != "user":
            return {p.error: gr.skip()}
        note = notices.hint("The message is below: change it and send it. What came after it goes.")
        return {
            p.written: messages[place].text,
            p.editing: place,
            p.error: note,
            p.cancel: gr.update(visible=True),
            p.task: "chat",
            p.passage: gr.update(visible=False),
        }

    # Votes.

    def voting(self, choice: str) -> Callable[..., Updates]:
        """A handler for one of the three."""

        def vote(stored: Any, pair: Any, consent: bool) -> Updates:
            shelf = Shelf.from_json(stored)
            if not pair:
                return self.view(shelf)
            messages = [Message.from_json(one) for one in pair["messages"]]
            if consent:
                self.votes.record(
                    "vote",
                    shelf.open,
                    left=messages[0],
                    right=messages[1],
                    models=pair["models"],
                    choice=choice,
                )
            if choice == "right":
                shelf = shelf.with_open(shelf.open.retried().with_answer(messages[1]))
            return self.view(shelf, note=self._thanks(consent))

        return vote

    def thumbing(self, choice: str) -> Callable[..., Updates]:
        """A handler for up or down."""

        def thumb(stored: Any, consent: bool) -> Updates:
            shelf = Shelf.from_json(stored)
            shelf = shelf.with_open(shelf.open.with_vote(choice))
            if consent:
                self.votes.record("thumb", shelf.open, choice=choice)
            return self.view(shelf, note=self._thanks(consent))

        return thumb

    def _thanks(self, consent: bool) -> str:
        if self.settings.votes is None:
            return ""
        return "Your vote was kept. Thank you." if consent else "Nothing was kept: you did not agree to it."

    # Tasks, side by side, files.

    def task(self, task: tasks.Task) -> Updates:
        """Another task."""
        p = self.parts
        return {
            p.written: gr.update(placeholder=tasks.HINTS[task]),
            p.passage: gr.update(visible=task == "ask"),
        }

    def compare(self, on: bool) -> Updates:
        """Side by side, or not."""
        return {self.parts.other: gr.update(visible=on)}

    def file(self, path: str, task: tasks.Task) -> Updates:
        """A file was opened: its text goes into the field that the task works on."""
        p = self.parts
        try:
            text = tasks.take_file(path, self.settings.file_bytes)
        except tasks.TaskError as error:
            return {p.error: notices.error(error)}
        if task in ("translate", "summarise"):
            return {p.written: text, p.error: ""}
        shown = {p.passage: gr.update(value=text, visible=True), p.error: ""}
        return shown | {p.task: "ask", p.written: gr.update(placeholder=tasks.HINTS["ask"])}

    def as_markdown(self, stored: Any) -> tuple[str, str, str]:
        """Name, kind and text of the export."""
        conversation = Shelf.from_json(stored).open
        return f"llink-{conversation.id}.md", "text/markdown;charset=utf-8", conversation.markdown()

    def as_json(self, stored: Any) -> tuple[str, str, str]:
        """The same as JSON."""
        conversation = Shelf.from_json(stored).open
        text = json.dumps(conversation.to_json(), ensure_ascii=False, indent=2)
        return f"llink-{conversation.id}.json", "application/json;charset=utf-8", text
