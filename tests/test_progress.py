"""What a person hears of a long step: an estimate, then a line at a fixed interval, in a log file as well."""

from __future__ import annotations

import re
import threading
import time
from pathlib import Path

import pytest
from pyarrow import fs

from llink_ray.cluster.progress import log_writer, tail_logs
from llink_ray.corpus.read import read
from llink_ray.progress import directory_bytes, progress_output, track
from llink_ray.storage.object_store import ObjectStore


@pytest.fixture
def lines(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is said, ten times a second."""
    monkeypatch.setenv("LLINK_PROGRESS_SECONDS", "0.1")
    return []


def test_rate_and_time_left(lines: list[str]) -> None:
    with progress_output(lines.append), track("answers", "questions", 40) as progress:
        for count in range(0, 21, 4):
            progress.update(count, note="loss 0.5")
            time.sleep(0.06)
    *so_far, last = lines
    assert len(so_far) >= 3
    for line in so_far[1:]:
        result = re.fullmatch(
            r"answers: (\d+) of 40 questions, ([\d.]+)/s, about (\d+) s left, loss 0\.5", line
        )
        assert result, line
        done, rate, left = map(float, result.groups())
        assert left == pytest.approx((40 - done) / rate, abs=0.7)
    assert re.fullmatch(r"answers: 20 questions, done in \d s, loss 0\.5", last)


def test_a_step_that_hangs_is_not_silent(lines: list[str]) -> None:
    with progress_output(lines.append), track("converting a model"), track("translation", "texts", 3):
        time.sleep(0.35)
    assert sum(line.startswith("converting a model: under way for") for line in lines) >= 2
    assert sum(line.startswith("translation: 0 of 3 texts after") for line in lines) >= 2


def test_what_was_there_before_is_not_part_of_the_rate(lines: list[str]) -> None:
    with progress_output(lines.append), track("answers", "questions", 1_000) as progress:
        progress.advance(900, initial=True)
        for _ in range(5):
            time.sleep(0.05)
            progress.advance()
        progress.resume_at(950)
        time.sleep(0.15)
    rates = [float(match[1]) for line in lines if (match := re.search(r", ([\d.]+)/s", line))]
    assert rates and max(rates) <= 25, lines
    assert any("950 of 1,000" in line for line in lines)


def test_loading_before_the_first_is_not_part_of_the_rate(lines: list[str]) -> None:
    with progress_output(lines.append), track("answers", "questions", 100) as progress:
        time.sleep(0.6)
        for _ in range(8):
            progress.advance()
            time.sleep(0.05)
    rate = re.search(r"of 100 questions, ([\d.]+)/s", lines[-2])
    assert rate and float(rate[1]) > 12, lines


def test_unequal_units_are_estimated_by_their_work(lines: list[str]) -> None:
    """Half of the texts, nine tenths of the letters."""
    with progress_output(lines.append), track("features", "texts", 10) as progress:
        time.sleep(0.9)
        progress.update(5, work=(90, 100))
        time.sleep(0.12)
    assert any(re.search(r"5 of 10 texts, [\d.]+/s, about 0 s left", line) for line in lines), lines


def test_short_steps_and_notebooks_hear_nothing(lines: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    with track("answers", "questions", 3) as progress:
        time.sleep(0.25)
        progress.advance()
    monkeypatch.delenv("LLINK_PROGRESS_SECONDS")
    with progress_output(lines.append), track("answers", "questions", 3) as progress:
        progress.advance()
    assert lines == [] and not [t for t in threading.enumerate() if t.name == "progress"]


def test_a_download_is_measured_by_its_folder(lines: list[str], tmp_path: Path) -> None:
    with progress_output(lines.append), track("downloading", "MB", 4e6, lambda: directory_bytes(tmp_path)):
        (tmp_path / "below").mkdir()
        (tmp_path / "below" / "part").write_bytes(bytes(1_000_000))
        time.sleep(0.25)
    assert any(line.startswith("downloading: 1.0 of 4.0 MB, ") for line in lines), lines


def test_reading_a_large_corpus(lines: list[str], tmp_path: Path) -> None:
    (tmp_path / "pairs.tsv").write_text("source text\tEnglish text\n" * 6)
    with progress_output(lines.append):
        for _ in read(str(tmp_path / "pairs.tsv")):
            time.sleep(0.06)
    assert any(re.match(r"corpus pairs\.tsv: 0\.0 of 0\.0 MB, .* left", line) for line in lines), lines


def test_copies_to_and_from_a_store(
    lines: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_bytes(bytes(5 << 20))
    store = ObjectStore(tmp_path / "store")
    sound = "c036cbb7553a909f8b8877d4461924307f27ecb66cff928eeeafd569c3887e29"
    block = ObjectStore._block

    def slow(store: ObjectStore, stream: fs.NativeFile) -> bytes:
        time.sleep(0.06)
        return block(store, stream)

    monkeypatch.setattr(ObjectStore, "_block", slow)
    with progress_output(lines.append):
        store.upload(tmp_path / "file", "bo/file", sound)
        store.download("bo/file", tmp_path / "copy")
    assert (tmp_path / "copy").read_bytes() == bytes(5 << 20)
    told = [line for line in lines if line.startswith(f"bo/file from {store.name}: ")]
    assert any(re.search(r"of 5\.2 MB, [\d.]+ MB/s, about \d s left", line) for line in told), lines


def test_the_log_of_a_run_is_followed(tmp_path: Path) -> None:
    """As it is written on another machine: whole lines, without the times that stand in it."""
    log, heard = tmp_path / "run.log", list[str]()
    log_writer(log)("said before")
    with tail_logs({"km": log, "bo": tmp_path / "none" / "run.log"}, heard.append):
        log_writer(log)("Stage A: 10 of 20 steps")
        with log.open("a") as file:
            file.write("2026-01-01T00:00:00 half a li")
            file.flush()
            time.sleep(0.7)
            assert heard == ["km: Stage A: 10 of 20 steps"]
            file.write("ne\n")
    assert heard[1:] == ["km: half a line"]
    assert re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d said before\n", log.read_text())
    assert not (tmp_path / "none").exists()
