"""``report.md``: the run on one page."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from llink_ray.errors import JobFailed
from llink_ray.evaluation import plots
from llink_ray.evaluation.run_tables import run_tables
from llink_ray.evaluation.table import DASH, Table
from llink_ray.storage.atomic import write_atomic

NAME = "report.md"
PLOTS = "plots"
FILES = ("settings.yaml", "settings.json", "metrics.json", "history.jsonl", "run.log")
"""What a run directory may hold beside the report; only what is there is linked."""

# An underscore inside or after a word opens no emphasis in CommonMark, so names of models stay readable.
_MARKS = re.compile(r"[\\`*\[\]<>|~#!&$]|(?<![^\W_])_")


def escape(text: str) -> str:
    """Text that Markdown shows literally, on one line, in a table cell or outside."""
    return _MARKS.sub(r"\\\g<0>", " ".join(text.split()))


def section(table: Table) -> list[str]:
    """Lines of Markdown: heading, table, note."""
    lines = [
        f"## {escape(table.title)}",
        "",
        "| " + " | ".join(map(escape, table.columns)) + " |",
        "|" + "|".join(" ---: " if align == "r" else " :--- " for align in table.align) + "|",
        *("| " + " | ".join(escape(cell) or " " for cell in row) + " |" for row in table.rows),
        "",
    ]
    return [*lines, escape(table.note), ""] if table.note else lines


def _markdown(metrics: Mapping[str, Any], files: Sequence[str], drawn: Sequence[Path]) -> str:
    language, preset = (escape(str(metrics.get(key) or DASH)) for key in ("language", "preset"))
    lines = [f"# {language}, preset {preset}", ""]
    for table in run_tables(metrics):
        lines += section(table)
    if drawn:
        lines += ["## Plots", ""]
        for path in drawn:
            title = path.stem.replace("_", " ").capitalize()
            lines += [f"![{title}]({PLOTS}/{quote(path.name)})", ""]
    if files:
        lines += ["## Files", "", *(f"- [{escape(name)}]({quote(name)})" for name in files), ""]
    return "\n".join(lines)


def write_report(run_dir: Path, metrics: Mapping[str, Any], history: Sequence[Mapping[str, Any]]) -> Path:
    """Draw the plots into ``run_dir/plots``, write ``run_dir/report.md`` and return its path.

    ``metrics`` are those of the job's JSON line, with ``corpus.reasons`` and, where known, ``seed``,
    ``commit``, ``corpus_hash``, ``decoder_english``. What is missing is left out. Raises JobFailed where
    the directory cannot be written.
    """
    try:
        run_dir.mkdir(parents=True, exist_ok=True)
        drawn = plots.draw(run_dir / PLOTS, metrics, history)
        files = [name for name in FILES if (run_dir / name).is_file()]
        path = run_dir / NAME
        write_atomic(path, _markdown(metrics, files, drawn))
    except OSError as error:
        raise JobFailed(
            f"the report could not be written to {run_dir} ({error.strerror or error}): "
            "make room there, or name another place"
        ) from error
    return path
