"""What people voted in the chat, with the figures of a judge: ``jobs/evaluate.py --votes``."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from llink_ray.evaluation.comparison import PREFERENCES, preferences
from llink_ray.evaluation.judge import Summary
from llink_ray.evaluation.judge.votes import Sides, read, summaries, thumbs
from llink_ray.evaluation.table import Table, format_number, print_tables


def report_votes(path: str | Path) -> dict[str, Any]:
    """Print the tables of a file of votes; returns them as a document.

    Raises:
        LlinkError: no such file, or a line that is not the chat's.
    """
    entries = list(read(path))
    votes, liked = summaries(entries), thumbs(entries)
    print_tables(table for table in (votes_table(votes), thumbs_table(liked)) if table.rows)
    return {
        "job": "votes",
        "file": str(path),
        "votes": [asdict(summary) for summary in votes.values()],
        "thumbs": {side: {"up": count["up"], "down": count["down"]} for side, count in liked.items()},
    }


def votes_table(votes: Mapping[Sides, Summary]) -> Table:
    """How often people preferred one side to the other."""
    rows = tuple((f"{a} against {b}", *preferences(summary)) for (a, b), summary in votes.items())
    note = "Judge: people, who saw both answers once, under their names. Preferred: ties set aside."
    return Table("Votes", ("answers of", *PREFERENCES), "lrrrr", rows, note)


def thumbs_table(thumbs: Mapping[str, Counter[str]]) -> Table:
    """How often people liked one answer by itself."""
    rows = tuple(
        (side, format_number(count["up"]), format_number(count["down"])) for side, count in thumbs.items()
    )
    return Table("Thumbs", ("answers of", "up", "down"), "lrr", rows)
