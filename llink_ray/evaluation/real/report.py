"""A measurement for people and for scripts: tables, ``report.md``, ``metrics.json``, ``answers.json``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from llink_ray.evaluation.real.result_cache import write_json, write_text
from llink_ray.evaluation.real.tables import held_out_sheets
from llink_ray.evaluation.report import NAME, escape, section


def print_measured(document: Mapping[str, Any]) -> None:
    """The tables, to stderr."""
    from rich.console import Console

    from llink_ray.evaluation.terminal import render

    console = Console(stderr=True, highlight=False)
    for sheet in held_out_sheets(document):
        console.print(render(sheet), "")


def write_measured(folder: Path, document: Mapping[str, Any], answers: Sequence[Mapping[str, Any]]) -> Path:
    """Write all three into ``folder``; returns the report's path.

    Raises:
        JobFailed: the disk refused.
    """
    models = document["models"]
    lines = [f"# {escape(document['language'])}: held-out text", ""]
    for part in ("encoder", "decoder"):
        print_ = str(models[part]["fingerprint"])[:12]
        lines.append(f"- {part}: {escape(str(models[part]['model']))} ({escape(print_)})")
    for name, system in document["systems"].items():
        if "bundle" in system:
            lines.append(f"- {escape(name)}: {escape(str(system['bundle']))}, {system['digest'][:12]}")
    lines += [f"- corpus hash {document['corpus']['hash'][:12]}, seed {document['seed']}", ""]
    for sheet in held_out_sheets(document):
        lines += section(sheet)
    write_json(folder / "answers.json", answers, indent=1)
    write_json(folder / "metrics.json", document, indent=1)
    report = folder / NAME
    write_text(report, "\n".join(lines))
    return report
