"""A run directory knows what it was asked for, and refuses to become something else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from cluster_runs import settings

from llink_ray.cluster.run_directory import RunDir
from llink_ray.corpus import Pair, Question
from llink_ray.errors import LlinkError


def started(path: Path, **changes: Any) -> RunDir:
    run = RunDir(path)
    record = {"language": "bo", "settings": settings().model_dump(mode="json")}
    run.write_json(run.record, record | changes)
    return run


def test_the_same_language_and_settings_go_on(tmp_path: Path) -> None:
    started(tmp_path / "run").check_same("bo", settings())


def test_a_setting_that_came_later_has_its_default(tmp_path: Path) -> None:
    asked = ("slots.max_sentences=1", "stage_b.passage_share=0")
    old = settings(*asked).model_dump(mode="json")
    del old["slots"]["max_sentences"], old["stage_b"]["usage"]["as_in_the_papers_code"]
    run = started(tmp_path / "run", settings=old)
    run.check_same("bo", settings(*asked))
    changed = settings("slots.max_sentences=3", "stage_b.passage_share=0")
    with pytest.raises(LlinkError, match=r"was started with slots\.max_sentences = 1, not 3"):
        run.check_same("bo", changed)


def test_another_language_or_setting_is_refused_by_name(tmp_path: Path) -> None:
    run = started(tmp_path / "run")
    with pytest.raises(LlinkError, match="teaches 'bo', not 'km'"):
        run.check_same("km", settings())
    with pytest.raises(LlinkError, match=r"lora\.rank = 16, not 4 \(and 1 more differ\)"):
        run.check_same("bo", settings("lora.rank=4", "seed=9"))


@pytest.mark.parametrize(
    "content", ["", "[]", '{"language": "bo"}', '{"language": "bo", "settings": {"x": 1}}']
)
def test_a_damaged_record_is_told(tmp_path: Path, content: str) -> None:
    run = started(tmp_path / "run")
    run.record.write_text(content)
    with pytest.raises(LlinkError, match=str(tmp_path)):
        run.check_same("bo", settings())


def test_pairs_come_back_as_they_were(tmp_path: Path) -> None:
    asked = Question("topic", "What about?", "dogs", ("dogs", "cats"))
    pairs = [Pair("ཁྱི།", "A dog.", (asked,), 7, "tico19"), Pair("ཞི་མི།", "A cat.")]
    run = RunDir(tmp_path)
    run.write_pairs("test", pairs)
    assert run.read_pairs("test") == pairs


def test_a_run_from_before_sources_goes_on(tmp_path: Path) -> None:
    folder = tmp_path / "pairs"
    folder.mkdir()
    question = '{"kind": "who", "instruction": "Who?", "answer": "I"}'
    row = f'{{"foreign": "ང་", "english": "I", "questions": [{question}], "line": 3}}'
    (folder / "train.jsonl").write_text(row + "\n", encoding="utf-8")
    run = RunDir(tmp_path)
    assert run.read_pairs("train") == [Pair("ང་", "I", (Question("who", "Who?", "I"),), 3)]
    assert run.read_pairs("unseen") == []
    with pytest.raises(FileNotFoundError):
        run.read_pairs("test")
