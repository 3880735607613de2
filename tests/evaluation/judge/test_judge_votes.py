"""What people voted in the chat comes to the judge report's figures."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from llink_ray.errors import LlinkError
from llink_ray.evaluation.human_votes import report_votes, thumbs_table, votes_table
from llink_ray.evaluation.judge.votes import Thumb, Vote, read, summaries, thumbs

ASKED = {"time": "2026-01-02T03:04:05+00:00", "instruction": "How many?", "source": "ཁང་པ་༥༦༠།"}


TAUGHT, LATER, BASE = "llink (bo v0001)", "llink (bo v0002)", "embedded"
SAID = {TAUGHT: "560", LATER: "560", BASE: "lots of them"}


def vote(winner: str, a: str = TAUGHT, b: str = BASE) -> str:
    sides = {"side_a": a, "side_b": b, "answer_a": SAID[a], "answer_b": SAID[b]}
    return Vote.model_validate({**ASKED, **sides, "winner": winner}).model_dump_json()


def written(tmp_path: Path, *lines: str) -> Path:
    file = tmp_path / "votes.jsonl"
    file.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return file


def test_votes_are_counted_by_pair_wherever_a_side_stood(tmp_path: Path) -> None:
    swapped = vote("b", BASE, TAUGHT)
    file = written(tmp_path, vote("a"), swapped, vote("tie"), vote("b"), vote("a", b=LATER))
    found = summaries(list(read(file)))
    one = found[BASE, TAUGHT]  # by name, so the base comes first
    assert (one.wins, one.losses, one.ties, one.contests) == (1, 2, 1, 4)
    assert (one.flipped, one.unreadable) == (0, 0)
    assert one.rate is not None and one.rate.rate == pytest.approx(1 / 3)
    assert one.length_a is not None and one.length_b is not None
    assert (one.length_a.words, one.length_b.words) == (3.0, 1.0)
    assert found[TAUGHT, LATER].wins == 1


def test_thumbs_are_counted_by_side(tmp_path: Path) -> None:
    lines = [
        Thumb.model_validate({**ASKED, "answer": "560", "side": "llink", "choice": choice}).model_dump_json()
        for choice in ("up", "up", "down")
    ]
    found = thumbs(list(read(written(tmp_path, *lines, vote("a")))))
    assert dict(found["llink"]) == {"up": 2, "down": 1}
    table = thumbs_table(found)
    assert table.rows == (("llink", "2", "1"),)


def test_the_table_and_the_document(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    document = report_votes(written(tmp_path, vote("a"), "", vote("b")))
    told = capsys.readouterr()
    assert "1 / 1 / 0" in told.err and "people" in told.err and not told.out
    assert document["votes"][0]["wins"] == document["votes"][0]["losses"] == 1
    assert json.dumps(document)
    assert not votes_table({}).rows and not thumbs_table({}).rows


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ('{"kind": "vote", "format": 1', "line 2 is not JSON"),
        ('{"kind": "applause"}', "line 2 is no vote"),
        (vote("a").replace('"winner":"a"', '"winner":"left"'), "winner"),
        (vote("a").replace('"format":1', '"format":2'), "format"),
        ("[1]", "line 2 is no vote"),
    ],
)
def test_a_line_that_is_none_of_ours_is_named(tmp_path: Path, line: str, told: str) -> None:
    with pytest.raises(LlinkError, match=told):
        list(read(written(tmp_path, vote("a"), line)))


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(LlinkError, match="cannot be read"):
        report_votes(tmp_path / "none.jsonl")
