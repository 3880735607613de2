"""The command line: what is wrong is said in one line, before anything is done, and leaves nothing."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from llink_ray.cluster.run_directory import RunDir
from llink_ray.corpus import phrasebook
from llink_ray.settings import configure

ROOT = Path(__file__).parents[2]
TINY = ROOT / "llink_ray" / "models" / "tiny"
Refused = Callable[..., str]


@pytest.fixture(scope="module")
def app() -> Any:
    spec = importlib.util.spec_from_file_location("jobs_train", ROOT / "jobs" / "train.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.app


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def refused(app: Any, tmp_path: Path) -> Refused:
    """Call the command with flags that cannot be carried out; the sentence it answers with."""

    def call(*flags: str, code: int = 2) -> str:
        before = {path for path in tmp_path.rglob("*") if "features" not in path.parts}
        result = CliRunner().invoke(app, list(flags))
        assert isinstance(result.exception, SystemExit), result.exception
        assert result.exit_code == code, result.stderr
        assert result.stdout == ""
        errors = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
        assert len(errors) == 1 and result.stderr.endswith(errors[0] + "\n"), result.stderr
        after = {path for path in tmp_path.rglob("*") if "features" not in path.parts}
        assert after - before <= {tmp_path / "runs"}, "something was left behind"
        return errors[0].removeprefix("error: ")

    return call


@pytest.fixture
def corpus(tmp_path: Path) -> Callable[[bytes | str], str]:
    """Write a corpus; its path."""

    def write(content: bytes | str, name: str = "pairs.tsv") -> str:
        (tmp_path / name).write_bytes(content.encode() if isinstance(content, str) else content)
        return f"--corpus={name}"

    return write


# Found before Ray is started ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--lang=tibetian"], r"'tibetian'.*Tibetan"),
        (["--lang=tibetan,kmer"], r"'kmer'.*Khmer"),
        ([], r"no language is named: give --lang, e\.g\. --lang=\w+"),
        (["--lang=,"], r"no language is named"),
        (["--lang=bo", "--slots=0"], r"slots\.count = 0: .*greater than or equal to 1"),
        (["--lang=bo", "--slots=-1"], r"slots\.count = -1: .*greater than or equal to 1"),
        (["--lang=bo", "--slots=10000"], r"slots\.count = 10000: .*less than or equal to 256"),
        (["--lang=bo", "--set=slots.cuont=4"], r"unknown setting 'slots\.cuont': did you mean slots\.count"),
        (["--lang=bo", "--set=slots.count"], r"not KEY=VALUE"),
        (["--lang=bo", "--zero-stage=4"], r"deepspeed\.zero_stage = 4"),
        (["--lang=bo", "--preset=huge"], r"no preset 'huge': choose one of .*tiny"),
        (["--lang=bo", "--settings=none.yaml"], r"none\.yaml does not exist"),
        (["--lang=bo", "--settings=."], r"is a directory"),
        (["--lang=bo", "--num-workers=5"], r"batch_size is \d+, which does not divide"),
        (["--lang=bo,km", "--corpus=x.tsv"], r"corpus goes with one language, but --lang names 2"),
        (["--lang=bo,km", "--resume=x"], r"--resume goes with one language"),
        (["--resume=nowhere"], r"nowhere is not a run directory: it has no run\.json"),
    ],
)
def test_wrong_flags(flags: list[str], said: str, refused: Refused, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("llink_ray.cluster.job.connect", lambda *_: pytest.fail("Ray was started"))
    sentence = refused(*flags)
    assert re.search(said, sentence), sentence


def test_an_output_that_is_a_file(refused: Refused, tmp_path: Path) -> None:
    (tmp_path / "notes").touch()
    assert "notes is a file: name a folder" in refused("--lang=bo", "--output=notes/runs")


@pytest.fixture
def a_run(tmp_path: Path) -> str:
    """A run directory as it is after the start of a run."""
    settings = configure.resolve(*configure.layers("tiny", None, ["seed=7"]))
    run = RunDir(tmp_path / "runs" / "bo-tiny-1")
    run.write_json(run.record, {"language": "bo", "settings": settings.model_dump(mode="json")})
    return f"--resume={run.path}"


def test_a_run_of_another_language_or_settings(ray_cluster: None, refused: Refused, a_run: str) -> None:
    assert "teaches 'bo', not 'km'" in refused(a_run, "--lang=khmer")
    said = refused(a_run, "--lang=tibetan", "--seed=8", "--slots=4")
    assert "was started with seed = 7, not 8 (and 1 more differ)" in said
    assert "cluster.num_workers = 1, not 2" in refused(a_run, "--num-workers=2")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("{", "damaged"),
        ("[]", "another version"),
        ('{"language": "bo", "settings": {"x": 1}}', "another version"),
    ],
)
def test_a_damaged_run(content: str, said: str, refused: Refused, a_run: str) -> None:
    Path(a_run.removeprefix("--resume="), "run.json").write_text(content)
    assert said in refused(a_run)


# Found on the cluster, before a run directory is made -----------------------------------------------------

TINY_BO = ("--lang=bo", "--preset=tiny")


@pytest.fixture
def bad_corpus(ray_cluster: None, refused: Refused, corpus: Any) -> Callable[[bytes | str], str]:
    return lambda content: refused(*TINY_BO, corpus(content))


def test_no_corpus_there(ray_cluster: None, refused: Refused, tmp_path: Path) -> None:
    assert "none.tsv does not exist" in refused(*TINY_BO, "--corpus=none.tsv")
    (tmp_path / "folder").mkdir()
    assert "folder is a directory" in refused(*TINY_BO, "--corpus=folder")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"english\tforeign\nHorse\t\xff\xfe\n", "pairs.tsv line 2 is not UTF-8"),
        ("one\ttwo\tthree\nHorse\t1\t2\n", "pairs.tsv"),
        ("english\tforeign\nHorse\t\u0f42\tmore\n", "line 2"),
        ("", "holds no pairs"),
        ("english\tforeign\n", "holds no pairs"),
        (
            "english\tforeign\nThe horse\tThe horse\nThe dog\tThe dog\n",
            "every one of its 2 pairs was dropped",
        ),
    ],
    ids=["not UTF-8", "no header known", "ragged", "empty", "header alone", "source equals target"],
)
def test_a_bad_corpus(content: bytes | str, said: str, bad_corpus: Callable[[bytes | str], str]) -> None:
    assert said in bad_corpus(content)


def test_a_corpus_of_one_pair(bad_corpus: Callable[[bytes | str], str]) -> None:
    (pair,) = phrasebook.pairs("bo", 1, seed=0)
    said = bad_corpus(f"english\tforeign\n{pair.english}\t{pair.foreign}\n")
    assert "too small to divide: its 1 usable pair" in said


def test_a_corpus_of_another_language(bad_corpus: Callable[[bytes | str], str]) -> None:
    rows = [f"{pair.english}\t{pair.foreign}" for pair in phrasebook.pairs("km", 5, seed=0)]
    said = bad_corpus("\n".join(["english\tforeign", *rows]))
    assert "every one of its 5 pairs was dropped: wrong script 5 (lines 2, 3, 4" in said
    assert "check that the foreign side is Tibetan" in said


def test_more_workers_than_places(ray_cluster: None, refused: Refused) -> None:
    said = refused(*TINY_BO, "--num-workers=16", code=1)
    assert "16 workers of 1 CPU each cannot be placed: the cluster has 2 CPU, room for 2" in said


def test_fewer_pairs_than_workers(ray_cluster: None, refused: Refused, corpus: Any) -> None:
    rows = [f"{pair.english}\t{pair.foreign}" for pair in phrasebook.pairs("bo", 12, seed=0)]
    few = [corpus("\n".join(["english\tforeign", *rows])), "--set=corpus.test_fraction=0.49"]
    spread = ["--num-workers=16", "--set=cluster.cpus_per_worker=0.1"]
    said = refused(*TINY_BO, *few, *spread)
    assert "cannot be divided among 16 workers" in said


def copied(part: str, folder: Path, *without: str) -> str:
    """A copy of a tiny model without some of its files."""
    shutil.copytree(TINY / part, folder, ignore=shutil.ignore_patterns(*without))
    return f"--{part}={folder}"


@pytest.fixture
def text(corpus: Any) -> str:
    rows = [f"{pair.english}\t{pair.foreign}" for pair in phrasebook.pairs("bo", 60, seed=0)]
    written: str = corpus("\n".join(["english\tforeign", *rows]))
    return written


def test_models_that_lack_something(ray_cluster: None, refused: Refused, text: str, tmp_path: Path) -> None:
    decoder = copied("decoder", tmp_path / "mute", "tokenizer*", "chat*")
    assert "mute' has no usable tokenizer" in refused(*TINY_BO, text, decoder)
    encoder = copied("encoder", tmp_path / "flat", "modules.json")
    assert "encoder.pooling=mean" in refused(*TINY_BO, text, encoder)
    assert "'./gone' does not exist" in refused(*TINY_BO, text, "--encoder=./gone")
    assert "is a file" in refused(*TINY_BO, text, f"--decoder={tmp_path / 'pairs.tsv'}")


@pytest.mark.slow
def test_an_encoder_found_lacking_late_leaves_no_run(
    ray_cluster: None, refused: Refused, text: str, tmp_path: Path
) -> None:
    encoder = copied("encoder", tmp_path / "mute", "tokenizer*")
    assert "mute' has no usable tokenizer" in refused(*TINY_BO, text, encoder)


def test_no_network_for_a_hub_model(ray_cluster: None, refused: Refused, text: str) -> None:
    said = refused(*TINY_BO, text, "--decoder=nobody/nothing", code=1)
    assert "'nobody/nothing' could not be fetched from the hub" in said and "local directory" in said


def test_real_models_want_real_text(ray_cluster: None, refused: Refused) -> None:
    said = refused("--lang=khmer", "--preset=real")
    assert "need real text: give --corpus FILE with Khmer" in said
    assert "no embedded phrasebook for Lao: give --corpus" in refused("--lang=lao", "--preset=tiny")


# What goes well -------------------------------------------------------------------------------------------


def test_check_only(ray_cluster: None, app: Any, tmp_path: Path) -> None:
    small = "--set=corpus.pairs=300"
    result = CliRunner().invoke(app, ["--lang=tibetan,km", "--preset=tiny", small, "--check-only"])
    assert result.exit_code == 0, result.stderr
    (line,) = result.stdout.splitlines()
    document = json.loads(line)
    assert document["job"] == "check"
    assert [run["language"] for run in document["runs"]] == ["bo", "km"]
    for run in document["runs"]:
        told = run["corpus"]
        assert (told["kept"], told["dropped"], told["reasons"]) == (300, 0, {})
        assert sum(told[split] for split in ("train", "validation", "test")) == 300 and told["unseen"] == 0
        assert len(run["corpus_hash"]) == 64
    assert not list(tmp_path.iterdir())


def test_check_only_counts_reasons_and_sources(ray_cluster: None, app: Any, corpus: Any) -> None:
    rows = [
        f"{'news' if n % 3 else 'health'}\t{pair.english}\t{pair.foreign}\n"
        for n, pair in enumerate(phrasebook.pairs("bo", 90, seed=0))
    ]
    given = corpus("source\ten\tforeign\n" + "".join([*rows, rows[0], "news\t\t\n"]))
    flags = [*TINY_BO, given, "--check-only", "--set=corpus.held_out_sources=[health]"]
    result = CliRunner().invoke(app, flags)
    assert result.exit_code == 0, result.stderr
    (run,) = json.loads(result.stdout)["runs"]
    told = run["corpus"]
    assert told["reasons"]["duplicate"] == {"count": 1, "first_lines": [92]}
    assert told["reasons"]["empty side"] == {"count": 1, "first_lines": [93]}
    assert told["unseen"] == 30 == told["sources"]["health"]["unseen"]
    assert told["sources"]["news"]["unseen"] == 0 == told["sources"]["health"]["train"]
    for word in ("duplicate", "unseen", "health"):
        assert word in result.stderr


def test_the_choice_of_preset_is_said_first(
    ray_cluster: None, app: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def first_line(gpus: float, *flags: str) -> str:
        monkeypatch.setattr("llink_ray.cluster.job.resources", lambda: {"CPU": 8.0, "GPU": gpus})
        line: str = CliRunner().invoke(app, [*flags, "--check-only"]).stderr.splitlines()[0]
        return line

    assert first_line(0, "--lang=bo", "--set=corpus.pairs=30") == "preset tiny: the cluster has no GPU"
    assert first_line(2, "--lang=khmer").startswith("preset real: the cluster has 2 GPUs, so ")


def test_help_fits_a_screen(app: Any) -> None:
    result = CliRunner().invoke(app, ["--help"], env={"COLUMNS": "100", "TERMINAL_WIDTH": "100"})
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert len(lines) <= 40
    for group in ("What to teach", "How", "Where"):
        assert any(f"─ {group} ─" in line for line in lines), group


def test_a_real_process_leaves_nothing_either(tmp_path: Path, corpus: Any) -> None:
    (pair,) = phrasebook.pairs("bo", 1, seed=0)
    one = corpus(f"english\tforeign\n{pair.english}\t{pair.foreign}\n")
    kept = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    done = subprocess.run(
        [sys.executable, str(ROOT / "jobs" / "train.py"), *TINY_BO, one, "--output=made/runs"],
        cwd=tmp_path,
        env=kept,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 2 and done.stdout == ""
    line = done.stderr.splitlines()[-1]
    assert line.startswith("error: corpus") and "too small to divide" in line
    assert done.stderr.count("error") == 1 and "Traceback" not in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["pairs.tsv"]
