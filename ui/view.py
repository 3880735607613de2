"""What the page shows: at rest, and while an answer is awaited. Handlers return what this gives them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import gradio as gr

from ui import examples, models, notices, render
from ui.answering import Answering
from ui.conversation import Conversation
from ui.conversation_store import ConversationStore
from ui.parts import Parts
from ui.served import Served
from ui.settings import UiSettings

Updates = dict[Any, Any]


class View:
    """Updates of the page's parts."""

    def __init__(self, settings: UiSettings, parts: Parts, served: Served) -> None:
        self.parts, self.served = parts, served
        self.votes = settings.votes is not None

    def rest(
        self,
        shelf: ConversationStore,
        *,
        problem: Exception | str | None = None,
        note: str = "",
        held: bool = False,
    ) -> Updates:
        """Nothing is on its way; ``held`` keeps the last answer back, since it stands in a column."""
        p, conversation = self.parts, shelf.open
        messages = conversation.messages
        answered = bool(messages) and messages[-1].role == "assistant"
        shown = Conversation(conversation.id, conversation.title, messages[:-1]) if held else conversation
        thumbs = self.votes and answered and not held
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
            p.hello: "" if messages else render.hello(examples.html(self.served.codes)),
            p.columns: gr.update(visible=held),
            p.votes: gr.update(visible=held),
            p.error: notices.error(problem) or notices.hint(note),
            p.retry: gr.update(visible=bool(problem) or (bool(messages) and not held)),
            p.undo: gr.update(visible=bool(messages)),
            p.clear: gr.update(visible=bool(messages)),
            p.up: gr.update(visible=thumbs, value="✓ Good answer" if vote == "up" else "Good answer"),
            p.down: gr.update(visible=thumbs, value="✓ Bad answer" if vote == "down" else "Bad answer"),
            p.cancel: gr.update(visible=False),
            p.send: gr.update(visible=True),
            p.stop: gr.update(visible="hidden"),
        }

    def busy(self, shelf: ConversationStore, two: bool) -> Updates:
        """An answer is awaited, or two."""
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
            p.left: "",
            p.right: "",
            p.hello: "",
            p.columns: gr.update(visible=two),
            p.error: "",
            p.stop: gr.update(visible=True),
        }
        found[p.send] = gr.update(visible="hidden")  # stays in the page: it has to come and go at once
        hidden = (p.votes, p.retry, p.undo, p.clear, p.up, p.down, p.cancel)
        return found | dict.fromkeys(hidden, gr.update(visible=False))

    def coming(self, names: Sequence[str], answers: Sequence[Answering]) -> Updates:
        """The answers as far as they are."""
        p = self.parts
        if len(answers) == 1:
            return {p.coming: render.coming(answers[0].text)}
        columns = (
            render.column(models.label(self.served.models, name), answer)
            for name, answer in zip(names, answers, strict=True)
        )
        return dict(zip((p.left, p.right), columns, strict=True))

    def offered(self, problem: Exception | None) -> Updates:
        """What the API offers, or why that is not known; what is on its way stays as it is."""
        p = self.parts
        found = self.menus() | {p.hello: render.hello(examples.html(self.served.codes))}
        if problem:
            return found | {p.error: notices.error(problem), p.retry: gr.update(visible=True)}
        return found

    def menus(self) -> Updates:
        """The two menus of models, and what these cannot do."""
        reading, beside = models.readings(self.served.models), models.others(self.served.models)
        return {
            self.parts.about: render.about(self.served.beginners, self.served.codes),
            self.parts.language: gr.update(choices=reading),
            self.parts.other: gr.update(choices=beside, value=beside[0][1]),
        }
