"""The table of docs/results.md from finished run directories.

    python benchmarks/results.py runs/bo-tiny-* runs/km-tiny-*

Markdown goes to stdout, a row a run; the last line is one JSON document with the same figures.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

COLUMNS = (
    "language",
    "preset",
    "raw text R@1",
    "Stage A R@1 / R@10",
    "Stage A+B R@1 / R@10",
    "answers exact",
    "numbers",
    "chrF",
    "slot gain zero / shuffle",
    "tokens raw / slots",
    "kept / dropped",
    "minutes",
)


def figure(value: float | None) -> str:
    """Three digits, or a dash."""
    return "–" if value is None else f"{value:.3f}"


def row(run: dict[str, Any]) -> list[str]:
    """One run's figures in the order of the columns."""
    found, answers, gain = run["retrieval"], run["answers"], run["slot_gain"]

    def recall(name: str) -> str:
        return f"{figure(found[name]['r1'])} / {figure(found[name]['r10'])}"

    return [
        run["language"],
        run["preset"],
        figure(found["base"]["r1"]),
        recall("stage_a"),
        recall("stage_ab"),
        figure(answers["exact"]),
        figure(answers["numbers"]),
        f"{answers['chrf']:.1f}" if answers.get("chrf") is not None else "–",
        f"{gain.get('zero', 0):+.2f} / {gain.get('shuffle', 0):+.2f}",
        f"{run['tokens']['raw']:.0f} / {run['tokens']['slots']:.0f}",
        f"{run['corpus']['kept']} / {run['corpus']['dropped']}",
        f"{run['seconds'] / 60:.1f}",
    ]


def main(folders: list[str]) -> int:
    """Print the table of the runs in ``folders``."""
    if not folders:
        print("error: name finished run directories, e.g. runs/bo-tiny-*", file=sys.stderr)
        return 2
    missing = [folder for folder in folders if not (Path(folder) / "document.json").is_file()]
    if missing:
        print(f"error: {missing[0]} is not a finished run: it has no document.json", file=sys.stderr)
        return 2
    runs = [json.loads((Path(folder) / "document.json").read_text(encoding="utf-8")) for folder in folders]
    print("| " + " | ".join(COLUMNS) + " |")
    print("|" + "---|" * len(COLUMNS))
    for run in runs:
        print("| " + " | ".join(row(run)) + " |")
    print(json.dumps({"benchmark": "results", "runs": runs}, ensure_ascii=False))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
