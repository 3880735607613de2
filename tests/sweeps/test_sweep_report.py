"""The report of a sweep, as a person finds it in the sweep's folder."""

from __future__ import annotations

import json
import math
import re
import struct
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sweep_files import row, searched, told, write

from llink_ray.errors import JobFailed, LlinkError
from llink_ray.sweeps.report import importance as sweep_importance
from llink_ray.sweeps.report import report as sweep_report
from llink_ray.sweeps.report.data import Objective
from llink_ray.sweeps.report.pareto import Pair, Point, line
from llink_ray.sweeps.report.read import read

R1 = "retrieval.r1"


def report(directory: Path) -> str:
    """Written without a warning; every picture in it exists and is drawn for print."""
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        path = sweep_report.write(directory)
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
    found: list[list[str]] = []
    for one in part(text, title).splitlines():
        if one.startswith("|"):
            found.append([cell.strip() for cell in one.strip("|").split("|")])
        elif found:
            break
    return [found[0], *found[2:]]


@pytest.fixture(scope="module", autouse=True)
def _few_draws() -> Iterator[None]:
    """Intervals of few draws: this is about what is told, not how finely."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sweep_importance, "RESAMPLED", 2)
        yield


@pytest.fixture(scope="module")
def two(tmp_path_factory: Any) -> tuple[Path, str]:
    """A whole sweep of two languages."""
    rows = searched("bo", "km", trials=24, same=20)
    folder = write(tmp_path_factory.mktemp("two"), rows, **told("bo", "km", trials=24))
    return folder, report(folder)


def test_the_best_of_each_language_comes_first_with_its_settings(two: tuple[Path, str]) -> None:
    folder, text = two
    sweep = read(folder)
    head, names, scores, *settings = table(text, "Best settings")
    assert head[1:] == ["Tibetan", "Khmer", "for all"]
    for place, code in ((1, "bo"), (2, "km")):
        finished = [t for t in sweep.of(code, "finished") if t.last(R1) is not None]
        best = max(finished, key=lambda t: t.last(R1) or 0.0)
        assert names[place] == best.name and scores[place] == f"{best.last(R1):.3f}"
        assert f"**R@1 {best.last(R1):.3f}**, {best.name} (24 of 24 trials)" in text
        rate = f"{best.settings['stage_a.learning_rate']:.3g}"
        assert next(r for r in settings if r[0] == "stage_a.learning_rate")[place].startswith(rate)


def test_one_setting_for_all_is_told_with_what_it_loses(two: tuple[Path, str]) -> None:
    folder, text = two
    sweep = read(folder)
    rows = table(text, "Against each best")[1:]
    assert [r[0] for r in rows] == ["Tibetan", "Khmer"]
    for code, (_, own, best, far, *_) in zip(("bo", "km"), rows, strict=True):
        top = max(t.score(R1) or 0.0 for t in sweep.of(code))
        assert float(best) == pytest.approx(top, abs=6e-4)
        assert float(best) - float(own) == pytest.approx(float(far), abs=2e-3)
    worst = max(float(r[3]) for r in rows)
    assert f"*One setting for all*: at most {worst:.3f} behind" in text
    ranked = [float(r[0]) for r in table(text, "First by mean rank")[1:]]
    assert ranked == sorted(ranked)


def test_every_picture_is_there(two: tuple[Path, str]) -> None:
    folder, text = two
    drawn = sorted(path.name for path in (folder / "plots").iterdir())
    names = ["best", "importance", "joint", "parallel-bo", "parallel-km", "slots"]
    assert drawn == [f"{name}.png" for name in names]
    assert all(f"(plots/{name})" in text for name in drawn)


def test_writing_again_changes_nothing(two: tuple[Path, str]) -> None:
    folder, text = two
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    assert report(folder) == text
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before


def test_failed_trials_are_told_with_their_cause_and_never_among_the_best(two: tuple[Path, str]) -> None:
    folder, text = two
    failed = {t.name for t in read(folder).trials if t.state == "failed"}
    rows = table(text, "Failed trials")[1:]
    assert {r[0] for r in rows} == failed and len(failed) == 2
    assert all("lower stage_a.learning_rate" in r[3] for r in rows)
    assert not failed & {r[0] for r in table(text, "Tibetan: the first 10 of 24 trials")}


def test_steps_are_told_beside_those_without_pruning(two: tuple[Path, str]) -> None:
    folder, text = two
    trials = read(folder).of("bo")
    spent = sum(t.step for t in trials)
    full = sum(25 if t.state == "failed" else 200 for t in trials)
    bo = table(text, "Trials, steps, time")[1]
    assert spent < full and bo[4:7] == [f"{spent:,}", f"{full:,}", f"{spent / full:.0%}"]


def test_no_trial_yet(tmp_path: Path) -> None:
    text = report(write(tmp_path, [], **told("bo")))
    assert "No trial has reported yet." in text and not (tmp_path / "plots").exists()


def test_one_trial(tmp_path: Path) -> None:
    text = report(write(tmp_path, [row("bo-0000", {R1: 0.5}, {"x": 1})], **told("bo", trials=1)))
    assert "**R@1 0.500**, bo-0000 (1 of 1 trials)" in text and "not finished" not in text
    assert "Tibetan: not told. It wants 16 trials" in text and "1 finished." in text
    assert "One setting for all" not in text and "plots/" not in text


def test_an_unfinished_sweep_says_so(tmp_path: Path) -> None:
    rows = [row("bo-0000", {R1: 0.5}, {"x": 1}), row("bo-0001", {R1: 0.4}, {"x": 2}, state="running")]
    text = report(write(tmp_path, rows, **told("bo", trials=8)))
    assert "(2 of 8 trials)" in text and "The sweep is not finished" in text
    assert table(text, "Best settings")[1][1] == "bo-0000"


def test_none_finished(tmp_path: Path) -> None:
    rows = [
        row("a", {}, {"x": 1}, state="failed", cause="out of memory | at step 3"),
        row("b", {R1: math.nan}),
    ]
    text = report(write(tmp_path, rows, **told("bo")))
    assert "no trial has finished with a figure of R@1" in text
    assert "out of memory \\| at step 3" in text and "Best settings" not in text


def test_ties_everywhere_can_be_drawn(tmp_path: Path) -> None:
    rows = [
        row(f"{code}-{i}", {R1: 0.5, "prompt_tokens": 9.0}, {"x": i, "slots.count": i % 2 + 1}, language=code)
        for code in ("bo", "km")
        for i in range(14)
    ]
    text = report(write(tmp_path, rows, **told("bo", "km", objectives=(R1, "prompt_tokens"))))
    assert (
        "at most 0.000 behind" in text
        and "bo-0, 13 more as good" in text
        and "Do languages agree?" not in text
    )
    assert len(table(text, "Tibetan: Pareto set")) == 1 + 14


def test_languages_without_a_setting_in_common(tmp_path: Path) -> None:
    rows = [
        row(f"{c}-{i}", {R1: i / 9}, {"x": f"{c}{i}"}, language=c) for c in ("bo", "km") for i in range(3)
    ]
    text = report(write(tmp_path, rows, **told("bo", "km")))
    assert "No setting was finished in every language" in text and "for all |" not in text


def test_a_joint_sweep_counts_its_languages_not_their_means(tmp_path: Path) -> None:
    rows = []
    for i, scores in enumerate(((0.5, 0.6), (0.8, 0.5), (0.9, 0.7))):
        name, settings = f"joint-{i:04d}", {"x": i}
        mean = {R1: sum(scores) / 2, "joint.rank": float(3 - i)}
        rows += [row(name, {R1: s}, settings, language=c) for c, s in zip(("bo", "km"), scores, strict=True)]
        rows.append(row(name, mean, settings, language="joint"))
    rows.append(row("joint-0003", {}, {"x": 3}, language="joint", state="failed", cause="no memory"))
    text = report(write(tmp_path, rows, **told("bo", "km", trials=4, joint=True)))
    assert text.startswith("# Sweep: Tibetan and Khmer\n") and "(4 of 4 trials)" in text
    assert "of the 3 settings finished in every language: joint-0002." in text
    assert table(text, "Failed trials")[1][:2] == ["joint-0003", "Tibetan, Khmer"]


def test_several_objectives_are_told_as_their_pareto_set(tmp_path: Path) -> None:
    rows = [
        row(f"t{i}", {"answers.exact": exact}, {"x": i}, seconds=seconds)
        for i, (exact, seconds) in enumerate(((0.9, 60.0), (0.8, 20.0), (0.7, 30.0)))
    ]
    text = report(write(tmp_path, rows, **told("bo", objectives=("answers.exact", "seconds"))))
    assert [r[:3] for r in table(text, "Tibetan: Pareto set")[1:]] == [
        ["t0", "0.900", "60.0"],
        ["t1", "0.800", "20.0"],
    ]
    assert "plots/pareto.png" in text


def test_slots_are_drawn_only_where_they_were_searched(tmp_path: Path) -> None:
    figures = {"answers.exact": 0.5, "prompt_tokens": 20.0}
    rows = [row(f"t{i}", figures, {"slots.count": 8, "x": i}) for i in range(3)]
    asked = told("bo", objectives=("answers.exact",))
    assert "Number of slots" not in report(write(tmp_path / "one", rows, **asked))
    rows.append(row("t3", figures, {"slots.count": 4, "x": 3}))
    assert "Number of slots" in report(write(tmp_path / "two", rows, **asked))


def test_the_line_of_slots_is_the_cheapest_for_each_quality() -> None:
    found = [Point(10, 0.5, 1), Point(20, 0.4, 2), Point(30, 0.9, 4), Point(30, 0.8, 4), Point(40, 0.9, 8)]
    fewer = Pair(Objective("prompt_tokens", "min"), Objective("answers.exact"))
    assert line(found, fewer) == [Point(10, 0.5, 1), Point(30, 0.9, 4)]
    more = Pair(Objective("numbers.exact", "max"), Objective("answers.exact"))
    assert line(found, more) == [Point(40, 0.9, 8)]


def test_settings_that_some_trials_lack_and_odd_names(tmp_path: Path) -> None:
    rows = [
        row(f"t{i}", {R1: i / 30}, {"a.b.kind$x": ("$m$", "r|s")[i % 2], **({"y": i} if i % 3 else {})})
        for i in range(24)
    ]
    text = report(write(tmp_path, rows, languages="not a list", objectives=[R1], modes=["max"], trials="?"))
    assert "plots/parallel-bo.png" in text and "r\\|s" in text


def test_where_the_time_went_is_told_where_it_is_known(tmp_path: Path) -> None:
    rows = [{**row(f"t{i}", {R1: 0.5}), "time.train": 8.0, "time.evaluate": 2.5} for i in range(2)]
    text = report(write(tmp_path, rows, **told("bo"), parts={"before": 70.0}))
    assert table(text, "Where the time went")[1:] == [
        ["before", "1 min 10 s"],
        ["trials: train", "16.0 s"],
        ["trials: evaluate", "5.0 s"],
    ]


def test_files_that_are_there_are_linked(tmp_path: Path) -> None:
    write(tmp_path, [row("t", {R1: 0.5})], **told("bo"))
    (tmp_path / "best-bo.yaml").write_text("{}")
    text = report(tmp_path)
    for name in ("sweep.json", "results.parquet", "best-bo.yaml"):
        assert f"[{name}]({name})" in text
    assert "`tensorboard --logdir tensorboard`" in text and (tmp_path / "tensorboard").is_dir()


# Reading ----------------------------------------------------------------------------------------------


def test_objectives_are_read_in_both_forms(tmp_path: Path) -> None:
    rows = [row("t", {"loss": 0.5})]
    wanted = [Objective("loss", "min"), Objective(R1)]
    forms: list[dict[str, Any]] = [
        {"objectives": [{"name": "loss", "mode": "min"}, {"name": R1, "mode": "max"}]},
        {"objectives": ["loss", R1], "modes": ["min", "max"]},
    ]
    for i, form in enumerate(forms):
        assert list(read(write(tmp_path / str(i), rows, **form)).objectives) == wanted
    assert list(read(write(tmp_path / "none", rows)).objectives) == [Objective("loss")]


def test_the_last_row_says_how_a_trial_ended_and_steps_come_in_order(tmp_path: Path) -> None:
    rows = [
        row("t", {R1: 0.7}, {"x": 1}, step=30, seconds=3.0, state="running"),
        row("t", {R1: 0.5}, {"x": 1}, step=10, seconds=1.0, state="finished"),
    ]
    (trial,) = read(write(tmp_path, rows)).trials
    assert (trial.state, trial.step, trial.seconds, trial.score(R1)) == ("finished", 30, 3.0, 0.7)


def test_what_is_no_sweep_is_refused_with_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(LlinkError, match="name the folder of a sweep"):
        sweep_report.write(tmp_path)
    (tmp_path / "sweep.json").write_text("{", encoding="utf-8")
    with pytest.raises(LlinkError, match=r"sweep\.json cannot be read"):
        sweep_report.write(tmp_path)
    (tmp_path / "sweep.json").write_text(json.dumps({}), encoding="utf-8")
    (tmp_path / "results.parquet").write_bytes(b"PAR1 torn")
    with pytest.raises(LlinkError, match=r"results\.parquet cannot be read"):
        sweep_report.write(tmp_path)


def test_a_disk_that_refuses_is_told(tmp_path: Path) -> None:
    write(tmp_path, [row("t", {R1: 0.5})], **told("bo"))
    (tmp_path / "report.md.tmp").mkdir()
    with pytest.raises(JobFailed, match="the sweep's report"):
        sweep_report.write(tmp_path)
