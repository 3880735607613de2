"""The sweep's command line: what is wrong is said in one line before Ray is started, and leaves nothing."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def app() -> Any:
    spec = importlib.util.spec_from_file_location("jobs_tune", ROOT / "jobs" / "tune.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.app


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        ([], r"no language is named"),
        (["--lang=tibetian"], r"'tibetian'.*Tibetan"),
        (["--lang=bo", "--space=projektor"], r"no space 'projektor': choose one of joint, projector"),
        (["--lang=bo", "--space=none.py"], r"none\.py does not exist"),
        (["--lang=bo", "--space=own.py"], r"unknown setting 'projector\.hiden': did you mean projector\.hid"),
        (["--lang=bo", "--set=slots.cuont=4"], r"unknown setting 'slots\.cuont'"),
        (["--lang=bo", "--objective=r1"], r"no objective 'r1': choose from retrieval\.r1"),
        (["--lang=bo", "--algorithm=best"], r"no --algorithm=best: choose tpe or random or grid"),
        (["--lang=bo", "--algorithm=grid"], r"grid: projector\.hidden is 128 to 3072, by ratio, any number"),
        (["--lang=bo", "--scheduler=pbt"], r"no --scheduler=pbt: choose asha or none"),
        (["--lang=bo", "--scheduler=asha", "--objective=answers.exact,slots"], r"by one figure"),
        (["--lang=bo,km", "--joint", "--space=slots", "--scheduler=asha"], r"languages take turns"),
        (["--lang=bo,km", "--corpus=x.tsv"], r"corpus goes with one language"),
        (["--resume=nowhere"], r"nowhere is not the directory of a sweep: it has no sweep\.json"),
        (["--resume=nowhere", "--lang=bo"], r"has its languages, space and settings: leave them out"),
    ],
)
def test_wrong_flags(
    flags: list[str], said: str, app: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("llink_ray.cluster.sweep.connect", lambda *_: pytest.fail("Ray was started"))
    own = "from llink_ray.sweeps import integer\nSPACE = {'projector.hiden': integer(1, 2, why='')}\n"
    (tmp_path / "own.py").write_text(own)
    result = CliRunner().invoke(app, flags)
    assert isinstance(result.exception, SystemExit), result.exception
    assert result.exit_code == 2 and result.stdout == ""
    assert re.search(said, result.stderr) and "Traceback" not in result.stderr, result.stderr
    assert not (tmp_path / "runs").exists()


def test_help_names_every_shipped_space(app: Any) -> None:
    told = " ".join(CliRunner().invoke(app, ["--help"]).stdout.split())
    for file in (ROOT / "tune_spaces").glob("*.py"):
        assert file.stem in told
