"""The chat is a room at the edge: HTTP alone, and no model."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
LIGHT = {
    "addresses",
    "cluster.command",
    "configure",
    "errors",
    "evaluation.judge.votes",
    "instructions",
    "languages",
    "message",
    "phrasebook",
    "segmentation",
    "settings",
}
"""Of the library, what the chat may use."""


def imported(file: Path) -> set[str]:
    """Modules that a file imports, with their dots."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module == "llink_ray":
            found |= {f"llink_ray.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
    return found


def test_the_chat_knows_the_service_by_http_alone() -> None:
    files = list((ROOT / "ui").glob("*.py"))
    assert len(files) > 20
    used = set().union(*map(imported, files))
    tops = {name.partition(".")[0] for name in used}
    assert not tops & {"serve", "jobs", "ray", "torch", "transformers"}
    ours = {name.removeprefix("llink_ray.") for name in used if name.startswith("llink_ray")}
    assert ours <= LIGHT


def test_nobody_knows_the_chat() -> None:
    rooms = [file for room in ("llink_ray", "serve", "jobs") for file in (ROOT / room).rglob("*.py")]
    assert not [file for file in rooms if any(name.split(".")[0] == "ui" for name in imported(file))]


def test_the_page_loads_no_model_library() -> None:
    code = (
        "import sys, ui.__main__ as main; main.alone(); import ui.page, ui.server, ui.handlers, ui.start; "
        "print(sorted({'torch', 'transformers', 'ray', 'serve'} & sys.modules.keys()))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip().splitlines()[-1] == "[]"
