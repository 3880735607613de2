"""What a person sees of a sweep while it runs."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from sweep_world import Runner, config, quality

from llink_ray.cluster.sweep_table import TrialTable


def follow(folder: Path, monkeypatch: pytest.MonkeyPatch, terminal: bool) -> tuple[Runner, str]:
    """A sweep of six trials whose every report is shown; one fails."""

    def formula(settings: dict[str, object], language: str, evaluation: int) -> dict[str, float]:
        if settings["projector.depth"] == 3:
            raise ArithmeticError("out of memory: MemoryError")
        return quality(settings, language, evaluation)

    class Screen(io.StringIO):
        def isatty(self) -> bool:
            return terminal

    screen = Screen()
    monkeypatch.setattr("sys.stderr", screen)
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setenv("TERM", "xterm")
    sweep = config(trials=6, algorithm="random", prune=False)
    run = Runner(folder, sweep, formula=formula)
    with TrialTable(run.search) as table:
        run.changed = table.changed
        run.go()
    return run, screen.getvalue()


def test_a_file_gets_a_line_for_each_trial(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _, output = follow(tmp_path, monkeypatch, terminal=False)
    lines = output.splitlines()
    assert len(lines) == 6 and lines[-1].startswith("6/6")
    failed = [line for line in lines if "failed" in line]
    assert failed and all("(out of memory: MemoryError)" in line for line in failed)
    assert any("finished  retrieval.r1 0." in line and "learning_rate 0.0" in line for line in lines)


def test_a_terminal_gets_a_table_with_the_best_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run, output = follow(tmp_path, monkeypatch, terminal=True)
    last = output[output.rindex("6/6 trials") :]
    rows = [line for line in last.splitlines() if "bo-000" in line]
    assert run.search.best("bo")[0].name in rows[0] and "best" in rows[0]
    assert len(rows) == 6
