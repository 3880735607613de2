"""The chat is light: no model library and nothing of the service is imported."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_the_page_loads_no_model_library() -> None:
    code = (
        "import sys, ui.__main__ as main; main.keep_offline(); "
        "import ui.page, ui.server, ui.handlers, ui.start_api, ui.vote_file; "
        "print(sorted({'torch', 'transformers', 'ray', 'serve'} & sys.modules.keys()))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip().splitlines()[-1] == "[]"
