"""The page: what stands where, and which handler follows which click."""

from __future__ import annotations

import os
from typing import Any

from ui.api import Api
from ui.asking import Asking
from ui.handlers import Handlers
from ui.parts import Parts
from ui.served import Served
from ui.settings import UiSettings
from ui.tasks import CHOICES, FILES, HINTS
from ui.view import View

os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")

STORE = "llink-chat"
"""Key in the browser's own storage."""
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


def build(settings: UiSettings, api: Api) -> Any:
    """The page over an API; ``look.arguments()`` goes to ``launch`` or ``mount_gradio_app``."""
    import gradio as gr

    with gr.Blocks(title="llink chat", analytics_enabled=False, delete_cache=(600, 600)) as page:
        parts = _lay_out(settings)
        served = Served(api)
        view = View(settings, parts, served)
        _connect(page, parts, Handlers(settings, view), Asking(settings, api, served, view))
    page.queue(max_size=settings.waiting, default_concurrency_limit=None, api_open=False)
    return page


def _lay_out(settings: UiSettings) -> Parts:
    import gradio as gr

    # The key in the browser hides nothing from who can read its storage: a fixed one outlives a restart.
    store = gr.BrowserState(None, storage_key=STORE, secret=STORE)
    editing, pair = gr.State(None), gr.State(None)
    with gr.Row(elem_id="llink-page"):
        with gr.Column(elem_id="llink-aside", scale=0):
            new = gr.Button("New conversation", elem_id="llink-new", size="sm")
            listed = gr.Radio(
                [], show_label=False, label="Conversations", elem_id="llink-conversations", container=False
            )
            delete = gr.Button(
                "Delete this conversation", elem_id="llink-delete", elem_classes="llink-plain", size="sm"
            )
            as_md = gr.Button(
                "Export as Markdown", elem_id="llink-export-md", elem_classes="llink-plain", size="sm"
            )
            as_json = gr.Button(
                "Export as JSON", elem_id="llink-export-json", elem_classes="llink-plain", size="sm"
            )
            memory = gr.Checkbox(
                False, label="Earlier messages go along", elem_id="llink-memory", container=False
            )
            consent = gr.Checkbox(
                False,
                label="Keep my votes, with the conversation, for evaluation",
                elem_id="llink-consent",
                container=False,
                visible=settings.votes is not None,
            )
        with gr.Column(elem_id="llink-main"):
            with gr.Row(elem_id="llink-head"):
                gr.Button("☰", elem_id="llink-menu", elem_classes="llink-plain", size="sm")
                gr.HTML(
                    "<h1>llink</h1><p>Ask in a taught language; the answer comes in English.</p>",
                    elem_id="llink-title",
                )
                compare = gr.Checkbox(False, label="Side by side", elem_id="llink-compare", container=False)
                gr.Button("◐", elem_id="llink-theme", elem_classes="llink-plain", size="sm")
            about = gr.HTML("", elem_id="llink-about", js_on_load=_CLICKS, apply_default_css=False)
            with gr.Column(elem_id="llink-chat"):
                hello = gr.HTML("", elem_id="llink-examples", js_on_load=_CLICKS, apply_default_css=False)
                chat = gr.HTML("", elem_id="llink-history", js_on_load=_CLICKS, apply_default_css=False)
                coming = gr.HTML("", elem_id="llink-live", apply_default_css=False)
            with gr.Row(elem_id="llink-columns", visible=False) as columns:
                with gr.Column(elem_id="llink-left"):
                    left = gr.HTML("", apply_default_css=False)
                with gr.Column(elem_id="llink-right"):
                    right = gr.HTML("", apply_default_css=False)
            with gr.Row(elem_id="llink-votes", visible=False) as votes:
                vote_left = gr.Button("Left is better", elem_id="llink-vote-left", size="sm")
                vote_tie = gr.Button("No difference", elem_id="llink-vote-tie", size="sm")
                vote_right = gr.Button("Right is better", elem_id="llink-vote-right", size="sm")
            with gr.Column(elem_id="llink-foot"):
                error = gr.HTML("", elem_id="llink-error", apply_default_css=False)
                with gr.Row(elem_id="llink-actions"):
                    plain: dict[str, Any] = {"elem_classes": "llink-plain", "size": "sm", "visible": False}
                    retry = gr.Button("Retry", elem_id="llink-retry", **plain)
                    undo = gr.Button("Undo", elem_id="llink-undo", **plain)
                    clear = gr.Button("Clear", elem_id="llink-clear", **plain)
                    up = gr.Button("Good answer", elem_id="llink-thumb-up", **plain)
                    down = gr.Button("Bad answer", elem_id="llink-thumb-down", **plain)
                    cancel = gr.Button("Leave the message as it was", elem_id="llink-cancel-edit", **plain)
                with gr.Column(elem_id="llink-compose"):
                    passage = gr.Textbox(
                        show_label=False,
                        label="Text",
                        placeholder="The text to ask about: paste it, or open a file …",
                        lines=3,
                        max_lines=10,
                        elem_id="llink-passage",
                        container=False,
                        visible=False,
                    )
                    written = gr.Textbox(
                        show_label=False,
                        label="Message",
                        placeholder=HINTS["chat"],
                        lines=1,
                        max_lines=12,
                        autofocus=True,
                        elem_id="llink-input",
                        container=False,
                    )
                    with gr.Row(elem_classes="llink-controls"):
                        task = gr.Dropdown(
                            list(CHOICES),
                            value="chat",
                            show_label=False,
                            label="Task",
                            elem_id="llink-task",
                            container=False,
                            filterable=False,
                        )
                        language = gr.Dropdown(
                            [("Find the language", "llink")],
                            value="llink",
                            show_label=False,
                            label="Read as",
                            elem_id="llink-language",
                            container=False,
                        )
                        other = gr.Dropdown(
                            [],
                            show_label=False,
                            label="Beside it",
                            elem_id="llink-other",
                            container=False,
                            allow_custom_value=True,
                            visible=False,
                        )
                        file = gr.UploadButton(
                            "Open a file",
                            elem_id="llink-file",
                            elem_classes="llink-plain",
                            size="sm",
                            file_types=list(FILES),
                        )
                        send = gr.Button("Send", elem_id="llink-send", variant="primary", size="sm")
                        stop = gr.Button("Stop", elem_id="llink-stop", size="sm", visible="hidden")
    name, kind, text = (gr.Textbox(visible=False) for _ in range(3))
    return Parts(**{key: value for key, value in locals().items() if key in Parts.__dataclass_fields__})


def _connect(page: Any, p: Parts, h: Handlers, asking: Asking) -> None:
    quiet: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
    asked = [p.written, p.passage, p.store, p.language, p.task, p.compare, p.other, p.memory, p.editing]
    again = [p.store, p.language, p.compare, p.other, p.memory]
    everything = [p[name] for name in p.outputs]
    for event in (p.send.click, p.written.submit):
        # Gradio drops what comes while it closes the event before; what is too early here, Asking refuses.
        event(asking.send, asked, everything, trigger_mode="multiple", **quiet)
    p.retry.click(asking.retry, again, everything, **quiet)
    p.stop.click(asking.stop, None, None, queue=False, **quiet)
    for part, act in (
        (p.undo, h.undo),
        (p.clear, h.clear),
        (p.new, h.new),
        (p.delete, h.delete),
        (p.cancel, h.cancel),
    ):
        part.click(act, [p.store], everything, **quiet)
    p.listed.input(h.choose, [p.store, p.listed], everything, **quiet)
    for part in (p.chat, p.hello, p.about):
        part.click(h.clicked, [p.store], everything, **quiet)
    for part, choice in ((p.vote_left, "left"), (p.vote_tie, "tie"), (p.vote_right, "right")):
        part.click(h.voting(choice), [p.store, p.pair, p.consent], everything, **quiet)
    for part, choice in ((p.up, "up"), (p.down, "down")):
        part.click(h.thumbing(choice), [p.store, p.consent], everything, **quiet)
    p.task.input(h.task, [p.task], [p.written, p.passage], **quiet)
    p.compare.input(h.compare, [p.compare], [p.other], **quiet)
    p.file.upload(h.file, [p.file, p.task], everything, **quiet)
    for part, export in ((p.as_md, h.as_markdown), (p.as_json, h.as_json)):
        made = part.click(export, [p.store], [p.name, p.kind, p.text], **quiet)
        made.then(None, [p.name, p.kind, p.text], None, js=_DOWNLOAD)
    loaded = page.load(h.load, [p.store], everything, **quiet)
    loaded.then(h.look, None, [p.language, p.other, p.about, p.hello, p.error, p.retry], **quiet)
