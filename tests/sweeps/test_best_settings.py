"""The file that gives a trial's settings back."""

from __future__ import annotations

from pathlib import Path

from sweep_world import Runner, config

from llink_ray.settings import configure
from llink_ray.sweeps.best_settings import best_yaml


def test_the_best_settings_come_back_as_they_were(tmp_path: Path) -> None:
    trial = Runner(tmp_path, config(trials=2)).go().search.best("bo")[0]
    layers = configure.layers("tiny", None, ["slots.count=5", "lora.targets=[q_proj, v_proj]"])
    settings = configure.resolve(*layers, {"projector": {"depth": 3}})
    file = tmp_path / "best.yaml"
    file.write_text(best_yaml(trial, settings, {"retrieval.r1": 0.5}, "python jobs/train.py --lang=bo"))
    for preset in ("tiny", "paper"):  # whatever it is laid over
        assert configure.resolve(*configure.layers(preset, str(file), [])) == settings
    head = file.read_text().splitlines()
    assert trial.name in head[0] and "jobs/train.py" in head[1]
