"""Theme (light and dark), style sheet and script of the page; nothing is loaded from other hosts."""

from __future__ import annotations

from functools import cache
from importlib import resources
from typing import Any

import gradio as gr

SANS = ("Inter", "Segoe UI", "Roboto", "Helvetica Neue", "Noto Sans", "DejaVu Sans", "Arial", "sans-serif")
"""For Latin letters, where the system has them; fonts of other scripts stand in ``page.css``."""
MONO = ("SFMono-Regular", "Menlo", "Consolas", "Noto Sans Mono", "DejaVu Sans Mono", "monospace")
_COLOURS = {
    "body_background_fill": ("#fbfaf8", "#171614"),
    "background_fill_primary": ("#ffffff", "#1f1d1b"),
    "background_fill_secondary": ("#f5f3ef", "#262421"),
    "block_background_fill": ("transparent", "transparent"),
    "block_label_background_fill": ("transparent", "transparent"),
    "border_color_primary": ("#e3dfd8", "#3a3733"),
    "body_text_color": ("#24211d", "#ece8e1"),
    "body_text_color_subdued": ("#6b655c", "#a59e93"),
    "input_background_fill": ("#ffffff", "#1f1d1b"),
    "input_border_color": ("#d9d4cb", "#45413c"),
    "input_shadow_focus": ("0 0 0 2px #99d5cf", "0 0 0 2px #1f5f5b"),
    "button_primary_background_fill": ("#0f766e", "#14857c"),
    "button_primary_background_fill_hover": ("#115e59", "#0f766e"),
    "button_secondary_background_fill_hover": ("#efece6", "#2e2b27"),
    "button_secondary_border_color": ("#d9d4cb", "#45413c"),
}
"""Light and dark values of Gradio's theme variables."""
_BOTH_MODES = {
    "block_border_width": "0px",
    "block_shadow": "none",
    "block_label_border_width": "0px",
    "block_title_text_weight": "500",
    "block_title_text_size": "*text_sm",
    "input_border_width": "1px",
    "input_shadow": "none",
    "button_primary_text_color": "#ffffff",
    "button_secondary_background_fill": "transparent",
    "button_border_width": "1px",
    "button_large_radius": "*radius_md",
    "button_small_radius": "*radius_md",
    "button_small_text_weight": "400",
    "button_large_text_weight": "500",
}


@cache
def launch_arguments() -> dict[str, Any]:
    """For ``Blocks.launch`` or ``gradio.mount_gradio_app``."""
    files = resources.files("ui")
    return {
        "theme": _theme(),
        "css": files.joinpath("page.css").read_text(encoding="utf-8"),
        "js": files.joinpath("page.js").read_text(encoding="utf-8"),
    }


def _theme() -> Any:
    base = gr.themes.Base(
        primary_hue="teal",
        secondary_hue="teal",
        neutral_hue="stone",
        radius_size="md",
        spacing_size="md",
        text_size="md",
        font=list(map(gr.themes.Font, SANS)),
        font_mono=list(map(gr.themes.Font, MONO)),
    )
    light = {name: colours[0] for name, colours in _COLOURS.items()}
    dark = {f"{name}_dark": colours[1] for name, colours in _COLOURS.items()}
    return base.set(**_BOTH_MODES, **light, **dark)
