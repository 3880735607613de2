"""The report of a sweep, as a person finds it in the sweep's folder."""

from __future__ import annotations

import re
import struct
import warnings
from pathlib import Path
from typing import Any

import pytest
from sweep_files import SPACE, Tried, results, searched, tried, write

from llink_ray.errors import JobFailed
from llink_ray.sweeps.report import write_report

R1 = "retrieval.r1"


def report(directory: Path) -> str:
    """Written without a warning; every picture in it exists and is drawn for print."""
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        path = write_report(directory)
    assert path == directory / "report.md"
    text = path.read_text("utf-8")
    for name in re.findall(r"!\[[^]]*\]\(([^)]+)\)", text):
        head = (directory / name).read_bytes()[:24]
        assert struct.unpack(">II", head[16:])[0] == 1600
    return text


def part(text: str, title: str) -> str:
    """What stands under a heading, up to the next of its level or above."""
    mark = re.search(rf"^(#+) {re.escape(title)}$", text, re.MULTILINE)
    assert mark, f"{title} is not among {re.findall('^#+ .*', text, re.MULTILINE)}"
    rest = text[mark.end() :]
    return re.split(rf"^#{{1,{len(mark[1])}}} ", rest, maxsplit=1, flags=re.MULTILINE)[0]


def table(text: str, title: str) -> list[list[str]]:
    """Rows of the first table under a heading, the head first."""
    rows: list[list[str]] = []
    for line in part(text, title).splitlines():
        if line.startswith("|"):
            rows.append([cell.strip() for cell in line.strip("|").split("|")])
        elif rows:
            break
    return [rows[0], *rows[2:]]


@pytest.fixture(scope="module")
def two(tmp_path_factory: Any) -> tuple[Path, str]:
    """A whole sweep of two languages."""
    rows = searched("bo", "km", trials=24, same=20)
    folder = write(tmp_path_factory.mktemp("two"), rows, "bo", "km", trials=24, space=SPACE)
    return folder, report(folder)


def test_the_best_of_each_language_comes_first_with_its_settings(two: tuple[Path, str]) -> None:
    folder, text = two
    head, names, scores, *settings = table(text, "Best settings")
    assert head[1:] == ["Tibetan", "Khmer", "for all"]
    for place, one in enumerate(results(folder), start=1):
        assert one.best is not None
        value = f"{one.value(one.best):.3f}"
        assert names[place] == one.best.name and scores[place] == value
        assert f"**R@1 {value}**, {one.best.name} (24 of 24 trials)" in text
        rate = f"{one.best.config['stage_a.learning_rate']:.3g}"
        assert next(r for r in settings if r[0] == "stage_a.learning_rate")[place].startswith(rate)


def test_one_setting_for_all_is_told_with_what_it_loses(two: tuple[Path, str]) -> None:
    _, text = two
    head, own, *settings = table(text, "First by mean rank")
    assert head[1:3] == ["Tibetan", "Khmer"] and own[0] == "own best"
    behind = [float(best) - float(value) for best, value in zip(own[1:3], settings[0][1:3], strict=True)]
    sentence = re.search(r"One setting for all\*: at most ([\d.]+) behind", text)
    assert sentence and float(sentence[1]) == pytest.approx(max(behind), abs=2e-3)
    ranked = [float(row[0]) for row in settings]
    assert ranked == sorted(ranked)


def test_every_picture_is_there(two: tuple[Path, str]) -> None:
    folder, text = two
    drawn = sorted(path.name for path in (folder / "plots").iterdir())
    assert drawn == ["best.png", "importance.png", "settings.png", "slots.png"]
    assert all(f"(plots/{name})" in text for name in drawn)


def test_writing_again_changes_nothing(two: tuple[Path, str]) -> None:
    folder, text = two
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    assert report(folder) == text
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before


def test_failed_trials_are_told_with_their_cause_and_never_among_the_best(two: tuple[Path, str]) -> None:
    _, text = two
    rows = table(text, "Failed trials")[1:]
    assert {r[0] for r in rows} == {"bo-0011", "km-0011"}
    assert all("lower stage_a.learning_rate" in r[2] for r in rows)
    assert "bo-0011" not in {r[0] for r in table(text, "Tibetan: the first 10 of 24 trials")}


def test_steps_are_told_beside_those_without_pruning(two: tuple[Path, str]) -> None:
    folder, text = two
    spent, full = results(folder)[0].steps_saved() or (0, 0)
    bo = table(text, "Trials, steps, time")[1]
    assert 0 < spent < full and bo[4:7] == [f"{spent:,}", f"{full:,}", f"{spent / full:.0%}"]


def test_no_trial_yet(tmp_path: Path) -> None:
    text = report(write(tmp_path, [], trials=4, space=SPACE))
    assert "no trial has finished" in text and not (tmp_path / "plots").exists()


def test_one_trial(tmp_path: Path) -> None:
    text = report(write(tmp_path, [tried(0.5, {"x": 1})]))
    assert "**R@1 0.500**, bo-0000 (1 of 1 trials)" in text and "not finished" not in text
    assert "Tibetan: not told. It wants 16 trials" in text and "1 finished." in text
    assert "One setting for all" not in text and "plots/" not in text


def test_an_unfinished_sweep_says_so(tmp_path: Path) -> None:
    rows = [tried(0.5, {"x": 1}), tried(0.4, {"x": 2}, state="running")]
    text = report(write(tmp_path, rows, trials=8))
    assert "(2 of 8 trials)" in text and "The sweep is not finished" in text
    assert table(text, "Best settings")[1][1] == "bo-0000"


def test_ties_everywhere_can_be_drawn(tmp_path: Path) -> None:
    rows = [
        tried(0.5, {"x": i, "slots.count": i % 2 + 1}, code, prompt_tokens=9.0)
        for code in ("bo", "km")
        for i in range(14)
    ]
    text = report(write(tmp_path, rows, "bo", "km", objectives=f"{R1},prompt_tokens"))
    assert "at most 0.000 behind" in text and "bo-0000, 13 more as good" in text
    assert "Do languages agree?" not in text
    assert len(table(text, "Tibetan: Pareto set")) == 1 + 14


def test_languages_without_a_setting_in_common(tmp_path: Path) -> None:
    rows = [tried(i / 9, {"x": f"{c}{i}"}, c) for c in ("bo", "km") for i in range(3)]
    text = report(write(tmp_path, rows, "bo", "km"))
    assert "No setting was finished in every language" in text and "for all |" not in text


def test_a_joint_sweep_counts_its_languages(tmp_path: Path) -> None:
    rows = [
        Tried({"x": i}, {"bo": [(9, {R1: bo})], "km": [(9, {R1: km})]}, study="joint")
        for i, (bo, km) in enumerate(((0.5, 0.6), (0.8, 0.5), (0.9, 0.7)))
    ]
    rows.append(Tried({"x": 3}, {}, "failed", "no memory | left", "joint"))
    text = report(write(tmp_path, rows, "bo", "km", joint=True))
    assert text.startswith("# Sweep: Tibetan, Khmer\n") and "(4 of 4 trials)" in text
    assert "of the 3 settings finished in every language: joint-0002." in text
    assert table(text, "Failed trials")[1][0] == "joint-0003" and "no memory \\| left" in text


def test_several_objectives_are_told_as_their_pareto_set(tmp_path: Path) -> None:
    points = ((0.9, 60.0), (0.8, 20.0), (0.7, 30.0))
    rows = [tried(None, {"x": i}, loss=-quality, prompt_tokens=t) for i, (quality, t) in enumerate(points)]
    text = report(write(tmp_path, rows, objectives="loss,prompt_tokens"))
    found = [(r[0], r[3]) for r in table(text, "Tibetan: Pareto set")[1:]]
    assert found == [("bo-0000", "60.0"), ("bo-0001", "20.0")]
    assert "plots/pareto.png" in text


def test_slots_are_drawn_only_where_they_were_searched(tmp_path: Path) -> None:
    rows = [tried(0.5, {"x": i}, prompt_tokens=20.0) for i in range(3)]
    assert "Number of slots" not in report(write(tmp_path / "one", rows))
    rows = [tried(0.5, {"slots.count": k}, prompt_tokens=16.0 + k) for k in (4, 8)]
    assert "Number of slots" in report(write(tmp_path / "two", rows))


def test_odd_values_can_be_drawn(tmp_path: Path) -> None:
    rows = [tried(i / 30, {"a.b.kind": ("$m$", "r|s", None)[i % 3], "flag": i % 2 == 0}) for i in range(24)]
    text = report(write(tmp_path, rows))
    assert "plots/settings.png" in text and "r\\|s" in text


def test_files_that_are_there_are_linked(tmp_path: Path) -> None:
    write(tmp_path, [tried(0.5, {"x": 1})])
    (tmp_path / "best-bo.yaml").write_text("{}")
    (tmp_path / "tune").mkdir()
    text = report(tmp_path)
    for name in ("sweep.json", "trials.jsonl", "best-bo.yaml"):
        assert f"[{name}]({name})" in text
    assert "`tensorboard --logdir tune`" in text


def test_a_disk_that_refuses_is_told(tmp_path: Path) -> None:
    write(tmp_path, [tried(0.5, {"x": 1})])
    (tmp_path / "report.md.tmp").mkdir()
    with pytest.raises(JobFailed, match="the sweep's report"):
        write_report(tmp_path)
