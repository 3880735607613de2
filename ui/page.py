"""The page: its components, and which handler follows which event."""

from __future__ import annotations

import os
from functools import partial
from typing import Any

os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")

import gradio as gr

from ui.api_client import ApiClient
from ui.handlers import Handlers
from ui.model_list import AUTO, ModelList
from ui.send import SendHandlers
from ui.settings import UiSettings
from ui.tasks import CHOICES, FILE_SUFFIXES, PLACEHOLDERS
from ui.view import View

STORAGE_KEY = "llink-chat"
"""In the browser's local storage."""
_CLICKS = """
element.addEventListener('click', (event) => {
  const edit = event.target.closest('.llink-edit'), example = event.target.closest('.llink-example');
  if (edit) trigger('click', { edit: Number(edit.closest('.llink-message').dataset.index) });
  if (example) trigger('click', { example: example.dataset.text });
});
"""
_DOWNLOAD = """(name, kind, text) => {
  if (!text) return;
  const link = document.createElement('a');
  link.href = URL.createObjectURL(new Blob([text], { type: kind }));
  link.download = name; document.body.append(link); link.click(); link.remove();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
}"""
"""Unlike a DownloadButton, this leaves no file on the server."""


def build(settings: UiSettings, api: ApiClient) -> Any:
    """The page over an API; ``theme.launch_arguments()`` goes to ``mount_gradio_app``."""
    with gr.Blocks(title="llink chat", analytics_enabled=False, delete_cache=(600, 600)) as page:
        components = Components(settings)
        models = ModelList(api)
        view = View(components, models, settings.votes is not None)
        _connect(page, components, Handlers(settings, view), SendHandlers(settings, api, models, view))
    page.queue(max_size=settings.waiting, default_concurrency_limit=None, api_open=False)
    return page


def _button(label: str, name: str, **options: Any) -> Any:
    return gr.Button(label, elem_id=f"llink-{name}", size="sm", **options)


_plain_button = partial(_button, elem_classes="llink-plain")


def _html(name: str | None = None, value: str = "", **options: Any) -> Any:
    elem_id = f"llink-{name}" if name else None
    return gr.HTML(value, elem_id=elem_id, apply_default_css=False, **options)


def _field(kind: Any, label: str, name: str, *arguments: Any, **options: Any) -> Any:
    """An input whose label is for screen readers only."""
    options |= {"label": label, "elem_id": f"llink-{name}", "container": False}
    if kind is not gr.Checkbox:
        options["show_label"] = False
    return kind(*arguments, **options)


class Components:
    """The components of the page; attributes are named as their ``elem_id`` without ``llink-``."""

    def __init__(self, settings: UiSettings) -> None:
        # A fixed key outlives a restart. It hides nothing from who can read the browser's storage.
        self.store: Any = gr.BrowserState(None, storage_key=STORAGE_KEY, secret=STORAGE_KEY)
        """All conversations of the browser."""
        self.editing: Any = gr.State(None)
        """Index of the message that is being edited."""
        self.pair: Any = gr.State(None)
        """Two answers that wait for a vote."""
        with gr.Row(elem_id="llink-page"):
            with gr.Column(elem_id="llink-aside", scale=0):
                self._sidebar(settings)
            with gr.Column(elem_id="llink-main"):
                self._header()
                self._messages()
                with gr.Column(elem_id="llink-foot"):
                    self._footer()
        self.download: Any = [gr.Textbox(visible=False) for _ in range(3)]
        """Name, media type and text of an export."""
        self.updatable = [
            self.store, self.editing, self.pair, self.new, self.conversations, self.delete, self.about,
            self.examples, self.history, self.live, self.columns, self.left, self.right, self.votes,
            self.error, self.retry, self.undo, self.clear, self.thumb_up, self.thumb_down, self.cancel_edit,
            self.passage, self.message, self.task, self.language, self.other_model, self.send, self.stop,
        ]  # fmt: skip
        """Outputs of most handlers, which return only those that change."""

    def _sidebar(self, settings: UiSettings) -> None:
        self.new = _button("New conversation", "new")
        self.conversations = _field(gr.Radio, "Conversations", "conversations", [])
        self.delete = _plain_button("Delete this conversation", "delete")
        self.export_md = _plain_button("Export as Markdown", "export-md")
        self.export_json = _plain_button("Export as JSON", "export-json")
        self.memory = _field(gr.Checkbox, "Earlier messages go along", "memory", False)
        consent_text = "Keep my votes, with the conversation, for evaluation"
        collects_votes = settings.votes is not None
        self.consent = _field(gr.Checkbox, consent_text, "consent", False, visible=collects_votes)

    def _header(self) -> None:
        with gr.Row(elem_id="llink-head"):
            _plain_button("☰", "menu")
            gr.HTML(
                "<h1>llink</h1><p>Ask in a taught language; the answer comes in English.</p>",
                elem_id="llink-title",
            )
            self.compare = _field(gr.Checkbox, "Side by side", "compare", False)
            _plain_button("◐", "theme")

    def _messages(self) -> None:
        self.about = _html("about", js_on_load=_CLICKS)
        with gr.Column(elem_id="llink-chat"):
            self.examples = _html("examples", js_on_load=_CLICKS)
            self.history = _html("history", js_on_load=_CLICKS)
            self.live = _html("live")
        with gr.Row(elem_id="llink-columns", visible=False) as self.columns:
            with gr.Column(elem_id="llink-left"):
                self.left = _html()
            with gr.Column(elem_id="llink-right"):
                self.right = _html()
        with gr.Row(elem_id="llink-votes", visible=False) as self.votes:
            self.vote_left = _button("Left is better", "vote-left")
            self.vote_tie = _button("No difference", "vote-tie")
            self.vote_right = _button("Right is better", "vote-right")

    def _footer(self) -> None:
        self.error = _html("error")
        with gr.Row(elem_id="llink-actions"):
            self.retry = _plain_button("Retry", "retry", visible=False)
            self.undo = _plain_button("Undo", "undo", visible=False)
            self.clear = _plain_button("Clear", "clear", visible=False)
            self.thumb_up = _plain_button("Good answer", "thumb-up", visible=False)
            self.thumb_down = _plain_button("Bad answer", "thumb-down", visible=False)
            self.cancel_edit = _plain_button("Leave the message as it was", "cancel-edit", visible=False)
        with gr.Column(elem_id="llink-compose"):
            paste = "The text to ask about: paste it, or open a file …"
            self.passage = _field(
                gr.Textbox, "Text", "passage", placeholder=paste, lines=3, max_lines=10, visible=False
            )
            hint = PLACEHOLDERS["chat"]
            self.message = _field(
                gr.Textbox, "Message", "input", placeholder=hint, lines=1, max_lines=12, autofocus=True
            )
            with gr.Row(elem_classes="llink-controls"):
                self.task = _field(gr.Dropdown, "Task", "task", list(CHOICES), value="chat", filterable=False)
                detected = [("Find the language", AUTO)]
                self.language = _field(gr.Dropdown, "Read as", "language", detected, value=AUTO)
                self.other_model = _field(
                    gr.Dropdown, "Beside it", "other", [], allow_custom_value=True, visible=False
                )
                self.file: Any = gr.UploadButton(
                    "Open a file",
                    elem_id="llink-file",
                    elem_classes="llink-plain",
                    size="sm",
                    file_types=list(FILE_SUFFIXES),
                )
                self.send = _button("Send", "send", variant="primary")
                self.stop = _button("Stop", "stop", visible="hidden")


def _connect(page: gr.Blocks, c: Components, handlers: Handlers, sending: SendHandlers) -> None:
    options: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
    send_inputs = [
        c.message, c.passage, c.store, c.language, c.task, c.compare, c.other_model, c.memory, c.editing,
    ]  # fmt: skip
    for event in (c.send.click, c.message.submit):
        # Gradio drops an event that comes while it closes the one before; SendHandlers refuses the others.
        event(sending.send, send_inputs, c.updatable, trigger_mode="multiple", **options)
    retry_inputs = [c.store, c.language, c.compare, c.other_model, c.memory]
    c.retry.click(sending.retry, retry_inputs, c.updatable, **options)
    c.stop.click(sending.stop, None, None, queue=False, **options)
    for button, handler in (
        (c.undo, handlers.undo),
        (c.clear, handlers.clear),
        (c.new, handlers.new),
        (c.delete, handlers.delete),
        (c.cancel_edit, handlers.cancel_edit),
    ):
        button.click(handler, [c.store], c.updatable, **options)
    c.conversations.input(handlers.choose, [c.store, c.conversations], c.updatable, **options)
    for html in (c.history, c.examples, c.about):
        html.click(handlers.clicked, [c.store], c.updatable, **options)
    for button, choice in ((c.vote_left, "left"), (c.vote_tie, "tie"), (c.vote_right, "right")):
        button.click(handlers.vote(choice), [c.store, c.pair, c.consent], c.updatable, **options)
    for button, choice in ((c.thumb_up, "up"), (c.thumb_down, "down")):
        button.click(handlers.thumb(choice), [c.store, c.consent], c.updatable, **options)
    c.task.input(handlers.task, [c.task], [c.message, c.passage], **options)
    c.compare.input(handlers.compare, [c.compare], [c.other_model], **options)
    c.file.upload(handlers.upload, [c.file, c.task], c.updatable, **options)
    for button, export in (
        (c.export_md, handlers.export_markdown),
        (c.export_json, handlers.export_json),
    ):
        exported = button.click(export, [c.store], c.download, **options)
        exported.then(None, c.download, None, js=_DOWNLOAD)
    loaded = page.load(handlers.load, [c.store], c.updatable, **options)
    model_outputs = [c.language, c.other_model, c.about, c.examples, c.error, c.retry]
    loaded.then(handlers.load_models, None, model_outputs, **options)
