"""What people voted in the chat, told as the judge report tells of a judge: ``jobs/evaluate.py --votes``."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console

from llink_ray.evaluation.comparison import PREFERENCES, preferences
from llink_ray.evaluation.judge import Summary
from llink_ray.evaluation.judge.votes import Pair, read, summaries, thumbs
from llink_ray.evaluation.table import Table, format_number
from llink_ray.evaluation.terminal import render


def people(path: str | Path) -> dict[str, Any]:
    """Print the tables of a file of votes; returns them as a document.

    Raises:
        LlinkError: no such file, or a line that is none of the chat's.
    """
    entries = list(read(path))
    voted, liked = summaries(entries), thumbs(entries)
    console = Console(stderr=True, highlight=False)
    for sheet in (votes_sheet(voted), thumbs_sheet(liked)):
        if sheet:
            console.print(render(sheet))
            console.print()
    return {
        "job": "votes",
        "file": str(path),
        "votes": [asdict(summary) for summary in voted.values()],
        "thumbs": {side: {"up": count["up"], "down": count["down"]} for side, count in liked.items()},
    }


def votes_sheet(voted: Mapping[Pair, Summary]) -> Table | None:
    """How often people preferred one side to the other."""
    if not voted:
        return None
    rows = tuple((f"{a} against {b}", *preferences(summary)) for (a, b), summary in voted.items())
    note = "Judge: people, who saw both answers once, under their names. Preferred: ties set aside."
    return Table("Votes", ("answers of", *PREFERENCES), "lrrrr", rows, note)


def thumbs_sheet(liked: Mapping[str, Counter[str]]) -> Table | None:
    """How often people liked one answer by itself."""
    if not liked:
        return None
    rows = tuple(
        (side, format_number(count["up"]), format_number(count["down"])) for side, count in liked.items()
    )
    return Table("Thumbs", ("answers of", "up", "down"), "lrr", rows)
