"""How the page looks: a theme of its own in light and dark, style, a little script; none from outside."""

from __future__ import annotations

from functools import cache
from importlib import resources
from typing import Any

SANS = (
    "Inter",
    "Segoe UI",
    "Roboto",
    "Helvetica Neue",
    "Noto Sans",
    "DejaVu Sans",
    "Arial",
    "sans-serif",
)
"""For Latin letters, if the system has them; fonts of other scripts stand in ``page.css``."""
MONO = ("SFMono-Regular", "Menlo", "Consolas", "Noto Sans Mono", "DejaVu Sans Mono", "monospace")


@cache
def arguments() -> dict[str, Any]:
    """For ``Blocks.launch`` or ``gradio.mount_gradio_app``: theme, style and script."""
    return {"theme": theme(), "css": _file("page.css"), "js": _file("page.js")}


def _file(name: str) -> str:
    return resources.files("ui").joinpath(name).read_text(encoding="utf-8")


def theme() -> Any:
    """Stone and a quiet green-blue; thin lines, no shadows."""
    import gradio as gr

    quiet = gr.themes.Base(
        primary_hue="teal",
        secondary_hue="teal",
        neutral_hue="stone",
        radius_size="md",
        spacing_size="md",
        text_size="md",
        font=list(map(gr.themes.Font, SANS)),
        font_mono=list(map(gr.themes.Font, MONO)),
    )
    return quiet.set(
        body_background_fill="#fbfaf8",
        body_background_fill_dark="#171614",
        background_fill_primary="#ffffff",
        background_fill_primary_dark="#1f1d1b",
        background_fill_secondary="#f5f3ef",
        background_fill_secondary_dark="#262421",
        block_background_fill="transparent",
        block_background_fill_dark="transparent",
        block_border_width="0px",
        block_shadow="none",
        block_label_background_fill="transparent",
        block_label_background_fill_dark="transparent",
        block_label_border_width="0px",
        block_title_text_weight="500",
        block_title_text_size="*text_sm",
        border_color_primary="#e3dfd8",
        border_color_primary_dark="#3a3733",
        body_text_color="#24211d",
        body_text_color_dark="#ece8e1",
        body_text_color_subdued="#6b655c",
        body_text_color_subdued_dark="#a59e93",
        input_background_fill="#ffffff",
        input_background_fill_dark="#1f1d1b",
        input_border_color="#d9d4cb",
        input_border_color_dark="#45413c",
        input_border_width="1px",
        input_shadow="none",
        input_shadow_focus="0 0 0 2px #99d5cf",
        input_shadow_focus_dark="0 0 0 2px #1f5f5b",
        button_primary_background_fill="#0f766e",
        button_primary_background_fill_hover="#115e59",
        button_primary_background_fill_dark="#14857c",
        button_primary_background_fill_hover_dark="#0f766e",
        button_primary_text_color="#ffffff",
        button_secondary_background_fill="transparent",
        button_secondary_background_fill_dark="transparent",
        button_secondary_background_fill_hover="#efece6",
        button_secondary_background_fill_hover_dark="#2e2b27",
        button_secondary_border_color="#d9d4cb",
        button_secondary_border_color_dark="#45413c",
        button_border_width="1px",
        button_large_radius="*radius_md",
        button_small_radius="*radius_md",
        button_small_text_weight="400",
        button_large_text_weight="500",
    )
