"""Votes and thumbs in the operator's file."""

from __future__ import annotations

import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from llink_ray.errors import JobFailed, LlinkError
from llink_ray.evaluation.judge.votes import Thumb, Vote, read, summaries
from ui.conversation import Conversation, Message
from ui.vote_file import VoteFile, make_thumb, make_vote, split_instruction

TEXT = "How many? ཁང་པ་༥༦༠། Tell me."
SPANS = (
    {"start": 0, "end": 10, "language": "en"},
    {"start": 10, "end": 20, "language": "bo"},
    {"start": 20, "end": 28, "language": "en"},
)
ASKED = Conversation.new().with_user("Hello").with_answer(Message("assistant", "Hi"))
ASKED = ASKED.with_answer(Message("user", TEXT, SPANS))
LEFT = Message("assistant", "560", (), {"llink": {"bundles": {"bo": {"version": "v0001"}}}})
RIGHT = Message("assistant", "many")


def test_a_vote_is_what_the_judge_report_reads(tmp_path: Path) -> None:
    votes = VoteFile(tmp_path / "votes.jsonl")
    for choice in ("left", "tie", "right"):
        votes.append(make_vote(ASKED, choice, LEFT, RIGHT, ("llink", "embedded")))
    found = list(read(tmp_path / "votes.jsonl"))
    assert [one.winner for one in found if isinstance(one, Vote)] == ["a", "tie", "b"]
    (first, *_) = found
    assert isinstance(first, Vote)
    assert (first.side_a, first.side_b) == ("llink (bo v0001)", "embedded")
    assert (first.answer_a, first.answer_b) == ("560", "many")
    assert first.source == "ཁང་པ་༥༦༠།" and first.instruction == "How many? Tell me."
    assert first.languages == ("bo",)
    assert [m["content"] for m in first.conversation] == ["Hello", "Hi", TEXT]
    (summary,) = summaries(found).values()
    assert (summary.wins, summary.losses, summary.ties) == (1, 1, 1)


def test_a_thumb_is_on_the_last_answer(tmp_path: Path) -> None:
    votes = VoteFile(tmp_path / "votes.jsonl")
    votes.append(make_thumb(ASKED.with_answer(LEFT), "up"))
    (found,) = read(tmp_path / "votes.jsonl")
    assert isinstance(found, Thumb)
    assert (found.answer, found.choice, found.side) == ("560", "up", "unknown (bo v0001)")
    assert found.conversation[-1]["content"] == TEXT


def test_without_a_file_nothing_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    VoteFile(None).append(make_thumb(ASKED.with_answer(LEFT), "up"))
    assert not list(tmp_path.iterdir())


def test_the_file_is_its_owners_and_is_added_to(tmp_path: Path) -> None:
    file = tmp_path / "votes.jsonl"
    VoteFile(file).append(make_thumb(ASKED.with_answer(LEFT), "up"))
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    with file.open("a") as cut:
        cut.write("")
    VoteFile(file).append(make_thumb(ASKED.with_answer(LEFT), "down"))
    assert len(list(read(file))) == 2


def test_a_line_that_was_cut_short_swallows_nothing(tmp_path: Path) -> None:
    file = tmp_path / "votes.jsonl"
    file.write_text('{"kind": "vo')
    VoteFile(file).append(make_thumb(ASKED.with_answer(LEFT), "down"))
    assert file.read_text().count("\n") == 2
    with pytest.raises(LlinkError, match="line 1 is not JSON"):
        list(read(file))


def test_many_at_once_are_a_line_each(tmp_path: Path) -> None:
    votes = VoteFile(tmp_path / "votes.jsonl")
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(votes.append, [make_thumb(ASKED.with_answer(LEFT), "up")] * 64))
    assert len(list(read(tmp_path / "votes.jsonl"))) == 64


def test_a_place_that_cannot_be_written_is_told_at_once(tmp_path: Path) -> None:
    with pytest.raises(LlinkError, match="--votes"):
        VoteFile(tmp_path / "nowhere" / "votes.jsonl")
    (tmp_path / "folder").mkdir()
    with pytest.raises(LlinkError, match="Is a directory"):
        VoteFile(tmp_path / "folder")


def test_a_file_that_is_gone_later_is_told(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    votes = VoteFile(tmp_path / "sub" / "votes.jsonl")
    (tmp_path / "sub" / "votes.jsonl").unlink()
    (tmp_path / "sub").rmdir()
    with pytest.raises(JobFailed, match="could not be kept"):
        votes.append(make_thumb(ASKED.with_answer(LEFT), "up"))


@pytest.mark.parametrize("choice", ["up", "", "both"])
def test_a_vote_that_is_none(choice: str) -> None:
    with pytest.raises(ValueError, match="a vote is left, right or tie"):
        make_vote(ASKED, choice, LEFT, RIGHT)
    with pytest.raises(ValueError, match="a thumb is on an answer"):
        make_thumb(ASKED, choice)


def test_half_a_letter_is_written_as_a_question_mark(tmp_path: Path) -> None:
    half = Conversation.new().with_user("a \ud800 b").with_answer(LEFT)
    VoteFile(tmp_path / "votes.jsonl").append(make_thumb(half, "up"))
    (found,) = read(tmp_path / "votes.jsonl")
    assert found.instruction == "a ? b"


def test_a_question_and_its_text_are_told_apart() -> None:
    assert split_instruction(Message("user", "Hello")) == ("Hello", "")
    assert split_instruction(Message("user", TEXT, SPANS)) == ("How many? Tell me.", "ཁང་པ་༥༦༠།")
    assert split_instruction(Message("user", "ཁང་པ།", ({"start": 0, "end": 5, "language": "bo"},))) == (
        "",
        "ཁང་པ།",
    )
