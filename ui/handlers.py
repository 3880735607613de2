"""Handlers of clicks that ask the API for no answer. State is the browser's."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import gradio as gr

from llink_ray.errors import LlinkError
from llink_ray.evaluation.judge.votes import Thumb, Vote
from ui import notices, tasks
from ui.conversation import Conversation, Message
from ui.conversation_store import ConversationStore
from ui.settings import UiSettings
from ui.view import Updates, View
from ui.vote_file import VoteFile, make_thumb, make_vote


class Handlers:
    """One object for all pages: each handler gets what the browser stored and returns updates."""

    def __init__(self, settings: UiSettings, view: View) -> None:
        self.settings, self.view, self.components = settings, view, view.components
        self.votes = VoteFile(settings.votes)

    def load(self, stored: Any) -> Updates:
        """A page was opened: show what its browser stored."""
        return self.view.idle(ConversationStore.from_json(stored))

    async def load_models(self) -> Updates:
        """Show what the API offers. A message may be sent before this returns."""
        return self.view.models_loaded(await self.view.models.refresh())

    # Conversations.

    def undo(self, stored: Any) -> Updates:
        """Remove the last message and its answer; its text returns to the input."""
        store = ConversationStore.from_json(stored)
        text = next((m.text for m in reversed(store.open.messages) if m.role == "user"), "")
        return self.view.idle(store.with_open(store.open.undone())) | {self.components.message: text}

    def clear(self, stored: Any) -> Updates:
        """Empty the conversation."""
        store = ConversationStore.from_json(stored)
        return self.view.idle(store.with_open(Conversation(store.open_id)))

    def new(self, stored: Any) -> Updates:
        """Open an empty conversation."""
        return self.view.idle(ConversationStore.from_json(stored).added()) | {self.components.message: ""}

    def delete(self, stored: Any) -> Updates:
        """Delete the open conversation."""
        return self.view.idle(ConversationStore.from_json(stored).deleted())

    def choose(self, stored: Any, conversation_id: str) -> Updates:
        """Open a conversation of the list."""
        return self.view.idle(ConversationStore.from_json(stored).opened(conversation_id))

    def cancel_edit(self, stored: Any) -> Updates:
        """Leave the message as it was."""
        return self.view.idle(ConversationStore.from_json(stored)) | {self.components.message: ""}

    def clicked(self, stored: Any, event: gr.EventData) -> Updates:
        """A click within the messages: on an example, or on Edit."""
        c, data = self.components, event._data or {}
        chat_task = {c.task: "chat", c.passage: gr.update(visible=False)}
        if isinstance(data.get("example"), str):
            return chat_task | {c.message: data["example"]}
        messages, index = ConversationStore.from_json(stored).open.messages, data.get("edit")
        if not isinstance(index, int) or not 0 <= index < len(messages) or messages[index].role != "user":
            return {c.error: gr.skip()}
        return chat_task | {
            c.message: messages[index].text,
            c.editing: index,
            c.error: notices.hint("Change the message below and send it: what came after it goes."),
            c.cancel_edit: gr.update(visible=True),
        }

    def export_markdown(self, stored: Any) -> tuple[str, str, str]:
        """Name, media type and text of the export."""
        conversation = ConversationStore.from_json(stored).open
        return f"llink-{conversation.id}.md", "text/markdown;charset=utf-8", conversation.markdown()

    def export_json(self, stored: Any) -> tuple[str, str, str]:
        """The same as JSON."""
        conversation = ConversationStore.from_json(stored).open
        text = json.dumps(conversation.to_json(), ensure_ascii=False, indent=2)
        return f"llink-{conversation.id}.json", "application/json;charset=utf-8", text

    # Votes.

    def vote(self, choice: str) -> Callable[..., Updates]:
        """A handler for ``left``, ``right`` or ``tie``; the conversation goes on with the better answer."""

        def handler(stored: Any, pair: Any, consent: bool) -> Updates:
            store = ConversationStore.from_json(stored)
            if not pair:
                return self.view.idle(store)
            left, right = (Message.from_json(message) for message in pair["messages"])
            error = self._keep(consent, lambda: make_vote(store.open, choice, left, right, pair["models"]))
            if choice == "right":
                store = store.with_open(store.open.without_answer().with_answer(right))
            return self.view.idle(store, error=error, note=self._thanks(consent))

        return handler

    def thumb(self, choice: str) -> Callable[..., Updates]:
        """A handler for ``up`` or ``down`` on the last answer."""

        def handler(stored: Any, consent: bool) -> Updates:
            store = ConversationStore.from_json(stored)
            store = store.with_open(store.open.with_vote(choice))
            error = self._keep(consent, lambda: make_thumb(store.open, choice))
            return self.view.idle(store, error=error, note=self._thanks(consent))

        return handler

    def _keep(self, consent: bool, make: Callable[[], Vote | Thumb]) -> LlinkError | None:
        """Write a vote down where the person agreed to that; returns why that failed."""
        try:
            if consent and self.view.collects_votes:
                self.votes.append(make())
        except LlinkError as error:
            return error
        return None

    def _thanks(self, consent: bool) -> str:
        if not self.view.collects_votes:
            return ""
        if consent:
            return "Kept for evaluation. Thank you."
        return "Not kept for evaluation: tick “Keep my votes” if it should be."

    # Tasks, comparison, files.

    def task(self, task: tasks.Task) -> Updates:
        """Another task was chosen."""
        c = self.components
        return {
            c.message: gr.update(placeholder=tasks.PLACEHOLDERS[task]),
            c.passage: gr.update(visible=task == "ask"),
        }

    def compare(self, enabled: bool) -> Updates:
        """Side by side was switched."""
        return {self.components.other_model: gr.update(visible=enabled)}

    def upload(self, path: str, task: tasks.Task) -> Updates:
        """A file was opened: its text goes into the field that the task works on."""
        c = self.components
        try:
            text = tasks.read_upload(path, self.settings.file_bytes)
        except tasks.TaskError as error:
            return {c.error: notices.error_box(error)}
        if task in ("translate", "summarise"):
            return {c.message: text, c.error: ""}
        return {
            c.passage: gr.update(value=text, visible=True),
            c.error: "",
            c.task: "ask",
            c.message: gr.update(placeholder=tasks.PLACEHOLDERS["ask"]),
        }
