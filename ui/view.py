"""Updates of the page: idle, and while answers arrive. Handlers return them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import gradio as gr

from ui import notices, render
from ui.conversation_store import ConversationStore
from ui.model_list import ModelList
from ui.running_answers import RunningAnswer

if TYPE_CHECKING:
    from ui.page import Components

Updates = dict[Any, Any]
"""New value or ``gr.update`` by component."""


class View:
    """Builds updates of the components."""

    def __init__(self, components: Components, models: ModelList, collects_votes: bool) -> None:
        self.components, self.models, self.collects_votes = components, models, collects_votes

    def idle(
        self,
        store: ConversationStore,
        *,
        error: Exception | str | None = None,
        note: str = "",
        vote_pending: bool = False,
    ) -> Updates:
        """No answer is running; ``vote_pending``: the last answer is in a column, not in the history."""
        c, messages = self.components, store.open.messages
        answered = bool(messages) and messages[-1].role == "assistant"
        history = replace(store.open, messages=messages[:-1]) if vote_pending else store.open
        vote = messages[-1].vote if answered else None
        thumbs = gr.update(visible=self.collects_votes and answered and not vote_pending)
        has_messages = gr.update(visible=bool(messages))
        return {
            c.store: store.to_json(),
            c.editing: None,
            c.pair: gr.skip() if vote_pending else None,
            c.conversations: gr.update(choices=store.titles, value=store.open_id, interactive=True),
            c.new: gr.update(interactive=True),
            c.delete: gr.update(interactive=True),
            c.history: render.transcript(history),
            c.live: "",
            c.examples: "" if messages else render.welcome(self.models.codes),
            c.columns: gr.update(visible=vote_pending),
            c.votes: gr.update(visible=vote_pending),
            c.error: notices.error_box(error) or notices.hint(note),
            c.retry: gr.update(visible=bool(error) or (bool(messages) and not vote_pending)),
            c.undo: has_messages,
            c.clear: has_messages,
            c.thumb_up: thumbs | {"value": "✓ Good answer" if vote == "up" else "Good answer"},
            c.thumb_down: thumbs | {"value": "✓ Bad answer" if vote == "down" else "Bad answer"},
            c.cancel_edit: gr.update(visible=False),
            c.send: gr.update(visible=True),
            c.stop: gr.update(visible="hidden"),
        }

    def busy(self, store: ConversationStore, side_by_side: bool) -> Updates:
        """Answers are running."""
        c, disabled = self.components, gr.update(interactive=False)
        hidden = (c.votes, c.retry, c.undo, c.clear, c.thumb_up, c.thumb_down, c.cancel_edit)
        return {
            c.store: store.to_json(),
            c.editing: None,
            c.pair: None,
            c.conversations: gr.update(choices=store.titles, value=store.open_id, interactive=False),
            c.new: disabled,
            c.delete: disabled,
            c.history: render.transcript(store.open),
            c.live: "" if side_by_side else render.pending_answer(""),
            c.left: "",
            c.right: "",
            c.examples: "",
            c.columns: gr.update(visible=side_by_side),
            c.error: "",
            c.stop: gr.update(visible=True),
            c.send: gr.update(visible="hidden"),  # stays in the document: it has to return at once
        } | dict.fromkeys(hidden, gr.update(visible=False))

    def partial_answers(self, names: Sequence[str], answers: Sequence[RunningAnswer]) -> Updates:
        """The answers as far as they have arrived."""
        c = self.components
        if len(answers) == 1:
            return {c.live: render.pending_answer(answers[0].text)}
        columns = [
            render.answer_column(self.models.label(name), answer)
            for name, answer in zip(names, answers, strict=True)
        ]
        return dict(zip((c.left, c.right), columns, strict=True))

    def models_loaded(self, error: Exception | None) -> Updates:
        """What the API offers, or why it is not known; running answers are left as they are."""
        c = self.components
        updates = self.menus() | {c.examples: render.welcome(self.models.codes)}
        if error:
            updates |= {c.error: notices.error_box(error), c.retry: gr.update(visible=True)}
        return updates

    def menus(self) -> Updates:
        """The two menus of models, and the note on what the models know."""
        c, comparisons = self.components, self.models.comparisons()
        return {
            c.about: render.phrasebook_banner(self.models.phrasebook_codes, self.models.codes),
            c.language: gr.update(choices=self.models.readings()),
            c.other_model: gr.update(choices=comparisons, value=comparisons[0][1]),
        }
