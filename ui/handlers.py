"""What happens on a click, but for asking. State is the browser's."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, Literal

import gradio as gr

from llink_ray.errors import LlinkError
from ui import notices, tasks
from ui.conversation import Conversation, Message
from ui.conversation_store import ConversationStore
from ui.settings import UiSettings
from ui.view import Updates, View
from ui.votes import Votes


class Handlers:
    """One for the whole page; each gets what the browser keeps, and returns what changes."""

    def __init__(self, settings: UiSettings, view: View) -> None:
        self.settings, self.view, self.parts = settings, view, view.parts
        self.votes = Votes(settings.votes)

    def load(self, stored: Any) -> Updates:
        """A page was opened: what the browser keeps is there at once."""
        return self.view.rest(ConversationStore.from_json(stored))

    async def look(self) -> Updates:
        """What the API offers. That may take a while, in which somebody may have asked something."""
        return self.view.offered(await self.view.served.look())

    # Conversations.

    def undo(self, stored: Any) -> Updates:
        """Without the last message and its answer; the message goes back into the field."""
        shelf = ConversationStore.from_json(stored)
        last = next((m.text for m in reversed(shelf.open.messages) if m.role == "user"), "")
        return self.view.rest(shelf.with_open(shelf.open.undone())) | {self.parts.written: last}

    def clear(self, stored: Any) -> Updates:
        """The conversation, empty."""
        shelf = ConversationStore.from_json(stored)
        return self.view.rest(shelf.with_open(Conversation(shelf.open_id, "", ())))

    def new(self, stored: Any) -> Updates:
        """Another conversation."""
        return self.view.rest(ConversationStore.from_json(stored).added()) | {self.parts.written: ""}

    def delete(self, stored: Any) -> Updates:
        """Without the open conversation."""
        return self.view.rest(ConversationStore.from_json(stored).deleted())

    def choose(self, stored: Any, wanted: str) -> Updates:
        """One of the list."""
        return self.view.rest(ConversationStore.from_json(stored).opened(wanted))

    def cancel(self, stored: Any) -> Updates:
        """An edit is left."""
        return self.view.rest(ConversationStore.from_json(stored)) | {self.parts.written: ""}

    def clicked(self, stored: Any, event: gr.EventData) -> Updates:
        """Something within the messages: edit, or an example."""
        p, data = self.parts, event._data or {}
        to_chat = {p.task: "chat", p.passage: gr.update(visible=False)}
        if isinstance(data.get("example"), str):
            return to_chat | {p.written: data["example"]}
        messages, place = ConversationStore.from_json(stored).open.messages, data.get("edit")
        if not isinstance(place, int) or not 0 <= place < len(messages) or messages[place].role != "user":
            return {p.error: gr.skip()}
        note = notices.hint("Change the message below and send it: what came after it goes.")
        return to_chat | {
            p.written: messages[place].text,
            p.editing: place,
            p.error: note,
            p.cancel: gr.update(visible=True),
        }

    def as_markdown(self, stored: Any) -> tuple[str, str, str]:
        """Name, kind and text of the export."""
        one = ConversationStore.from_json(stored).open
        return f"llink-{one.id}.md", "text/markdown;charset=utf-8", one.markdown()

    def as_json(self, stored: Any) -> tuple[str, str, str]:
        """The same as JSON."""
        one = ConversationStore.from_json(stored).open
        text = json.dumps(one.to_json(), ensure_ascii=False, indent=2)
        return f"llink-{one.id}.json", "application/json;charset=utf-8", text

    # Votes.

    def voting(self, choice: str) -> Callable[..., Updates]:
        """A handler for one of the three: the better answer is the one that the conversation goes on with."""

        def vote(stored: Any, pair: Any, consent: bool) -> Updates:
            shelf = ConversationStore.from_json(stored)
            if not pair:
                return self.view.rest(shelf)
            left, right = (Message.from_json(one) for one in pair["messages"])
            problem = self._kept(
                consent, "vote", shelf.open, left=left, right=right, models=pair["models"], choice=choice
            )
            if choice == "right":
                shelf = shelf.with_open(shelf.open.retried().with_answer(right))
            return self.view.rest(shelf, problem=problem, note=self._thanks(consent))

        return vote

    def thumbing(self, choice: str) -> Callable[..., Updates]:
        """A handler for up or down, of the last answer."""

        def thumb(stored: Any, consent: bool) -> Updates:
            shelf = ConversationStore.from_json(stored)
            shelf = shelf.with_open(shelf.open.with_vote(choice))
            problem = self._kept(consent, "thumb", shelf.open, choice=choice)
            return self.view.rest(shelf, problem=problem, note=self._thanks(consent))

        return thumb

    def _kept(
        self, consent: bool, kind: Literal["vote", "thumb"], *about: Any, **said: Any
    ) -> LlinkError | None:
        """Keep it, if a person agreed to that; why it could not be, if so."""
        try:
            if consent:
                self.votes.record(kind, *about, **said)
        except LlinkError as error:
            return error
        return None

    def _thanks(self, consent: bool) -> str:
        if not self.view.votes:
            return ""
        return (
            "Kept for evaluation. Thank you."
            if consent
            else "Not kept for evaluation: tick “Keep my votes” if it should be."
        )

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
