"""What a sweep leaves: the table of all reports, and a file that gives a trial's settings back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from sweep_world import LOOKS, Runner, quality, search

from llink_ray.errors import LlinkError
from llink_ray.settings import configure
from llink_ray.sweeps.journal import JOINT
from llink_ray.sweeps.objective import Objective, objectives, ranks
from llink_ray.sweeps.results import best_yaml, write_results


def table(run: Runner, folder: Path) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = pq.read_table(write_results(run.plan, folder)).to_pylist()
    return rows


def test_one_row_a_report_with_settings_and_figures(tmp_path: Path) -> None:
    run = Runner(tmp_path, search()).go()
    rows = table(run, tmp_path)
    assert len(rows) == sum(steps // 10 for _, _, steps, _ in run.outcome())
    first = [row for row in rows if row["trial"] == "bo-0000"]
    assert [row["step"] for row in first] == [10 * look for look in range(1, LOOKS + 1)]
    config = run.plan.trials("bo")[0].config
    assert first[-1]["config.stage_a.learning_rate"] == config["stage_a.learning_rate"]
    assert first[-1]["config.projector.depth"] == config["projector.depth"]
    assert first[-1]["metric.retrieval.r1"] == quality(config)["retrieval.r1"]
    assert {row["state"] for row in rows} == {"finished", "pruned"}
    assert {row["language"] for row in rows} == {"bo"} and rows[0]["cause"] is None


def test_a_trial_that_failed_at_once_has_a_row_with_its_cause(tmp_path: Path) -> None:
    def formula(config: dict[str, Any], language: str, look: int) -> dict[str, float]:
        raise ArithmeticError("out of memory: MemoryError")

    (row,) = table(Runner(tmp_path, search(trials=1), formula=formula).go(), tmp_path)
    assert (row["state"], row["step"], row["cause"]) == ("failed", 0, "out of memory: MemoryError")


def test_joint_trials_have_rows_by_language_and_their_means(tmp_path: Path) -> None:
    run = Runner(tmp_path, search(languages=("bo", "km"), joint=True, trials=4, prune=False)).go()
    rows = table(run, tmp_path)
    last = {row["language"]: row for row in rows if row["trial"] == "joint-0000" and row["step"] == 90}
    assert set(last) == {"bo", "km", JOINT}
    mean = (last["bo"]["metric.retrieval.r1"] + last["km"]["metric.retrieval.r1"]) / 2
    assert last[JOINT]["metric.retrieval.r1"] == pytest.approx(mean)
    final = [row["metric.joint.rank"] for row in rows if row["metric.joint.rank"] is not None]
    assert len(final) == 4 and all(1 <= rank <= 4 for rank in final) and sum(final) == pytest.approx(10)


def test_the_best_settings_come_back_as_they_were(tmp_path: Path) -> None:
    run = Runner(tmp_path, search(trials=2)).go()
    trial = run.plan.best("bo")[0]
    layers = configure.layers("tiny", None, ["slots.count=5", "lora.targets=[q_proj, v_proj]"])
    settings = configure.resolve(*layers, {"projector": {"depth": 3}})
    file = tmp_path / "best.yaml"
    file.write_text(best_yaml(trial, settings, {"retrieval.r1": 0.5}, "python jobs/train.py --lang=bo"))
    for preset in ("tiny", "paper"):  # whatever it is laid over
        assert configure.resolve(*configure.layers(preset, str(file), [])) == settings
    head = file.read_text().splitlines()
    assert trial.name in head[0] and "jobs/train.py" in head[1]


def test_objectives_by_name() -> None:
    assert objectives("answers.exact, slots") == (Objective("answers.exact"), Objective("slots"))
    assert objectives("slots")[0].score({"slots": 8.0}, 1.0) == -8.0
    assert objectives("seconds")[0].score({}, 3.0) == -3.0
    assert objectives("retrieval.r1")[0].score({}, 3.0) is None
    assert objectives("retrieval.r1")[0].fine_score({}, 3.0) is None
    assert objectives("retrieval.r1")[0].fine_score({"retrieval.r1": 1.0}, 3.0) == (1.0, 0.0)
    assert objectives("answers.exact")[0].fine_score({"answers.exact": 0.5, "loss": 2.0}, 3.0) == (0.5, -2.0)
    for wrong, said in (("r1", "retrieval.r1"), ("", "name one"), ("loss,loss", "different")):
        with pytest.raises(LlinkError, match=said):
            objectives(wrong)


def test_ranks_share_places() -> None:
    assert ranks([(0.5,), (0.9,), (0.5,), (0.1,)]) == [2.5, 1.0, 2.5, 4.0]
