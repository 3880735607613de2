"""From the command line to the report: tiny bundles on a small file, in this process, without Ray."""

from __future__ import annotations

import importlib.util
import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from bundle_files import python
from model_zoo import learn, small_settings, write_decoder, write_taught
from typer.testing import CliRunner

from llink_ray.bundles.bundle import read_bundle, write_bundle
from llink_ray.corpus import phrasebook
from llink_ray.corpus.pair import Pair
from llink_ray.corpus.seen import SeenText
from llink_ray.evaluation.held_out import measure as measuring
from llink_ray.evaluation.held_out.job import run
from llink_ray.evaluation.held_out.plan import HeldOutRequest
from llink_ray.evaluation.held_out.systems import bundle_names

ROOT = Path(__file__).parents[3]
TRAINED = phrasebook.pairs("bo", 24, seed=1)
HELD_OUT = phrasebook.pairs("bo", 40, seed=2)
QUICK = ["draws=100", "max_new_tokens=6", "batch_tokens=4000"]


def write_corpus(file: Path, pairs: list[Pair], sources: tuple[str, ...] = ("",)) -> Path:
    rows = [
        {
            "foreign": pair.foreign,
            "english": pair.english,
            "source": sources[n % len(sources)],
            "questions": [
                {
                    "kind": "is_it",
                    "instruction": "Is it about fish?",
                    "answer": "no",
                    "choices": ["yes", "no"],
                }
            ],
        }
        for n, pair in enumerate(pairs)
    ]
    file.write_text("\n".join(json.dumps(row, ensure_ascii=False) for row in rows), encoding="utf-8")
    return file


def teach(path: Path, **changes: Any) -> Path:
    """A bundle of a second's training."""
    return write_taught(path, learn(small_settings("embedded", "embedded", **changes), TRAINED).taught)


def copied(bundle: Path, path: Path, carries: bool = False, **changes: Any) -> Path:
    """The same bundle with another record; ``carries``: with what it was trained on."""

    def fill(folder: Path) -> None:
        shutil.copytree(bundle, folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns("bundle.json"))
        if carries:
            SeenText.of(TRAINED).save(folder)

    return write_bundle(path, read_bundle(bundle).model_copy(update=changes), fill)


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("bundles")
    english = {"slots": {"variant": "none"}, "stage_b": {"source": "english", "steps": 5, "batch_size": 24}}
    other = teach(folder / "other" / "bundle", seed=1)
    return {
        "slots": teach(folder / "slots" / "bundle"),
        "carries": copied(other, folder / "carries" / "v0001", carries=True),
        "english": teach(folder / "english" / "bundle", **english),
    }


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    return write_corpus(tmp_path / "held-out.jsonl", HELD_OUT, ("news", "stories"))


def quiet(_: str) -> None:
    pass


def test_three_bundles_side_by_side(
    bundles: dict[str, Path], corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    request = HeldOutRequest(
        str(corpus), [str(bundles[n]) for n in ("slots", "carries", "english")], measure=QUICK,
        limit=10, output=str(tmp_path / "runs"),
    )  # fmt: skip
    document = run(request)
    told = capsys.readouterr()
    assert told.out == "" and "to ceiling" in told.err and "near miss, 1 to 10" not in told.out
    roles = {name: system["role"] for name, system in document["systems"].items()}
    assert roles == {
        "floor": "floor", "ceiling": "ceiling", "slots": "bundle", "carries/v0001": "bundle",
        "english": "trained_ceiling", "encoder": "encoder",
        "slots, on English": "adapted", "carries/v0001, on English": "adapted",
    }  # fmt: skip
    figures = document["figures"]
    assert set(figures) == {
        "retrieval", "translation:chrf++", "translation:bleu", "translation:numbers", "which_of_four",
        "near_miss", "cloze", "numbers", "labelled:is_it", "prompt_tokens",
    }  # fmt: skip
    for name, figure in figures.items():
        assert figure["examples"] <= 10
        for estimate in figure["systems"].values():
            assert estimate["low"] <= estimate["value"] <= estimate["high"]
        wanted = {"floor", "ceiling", "slots", "carries/v0001", "english"}
        adapted = {"slots, on English", "carries/v0001, on English"}
        if name == "retrieval":
            wanted, adapted = {"floor", "ceiling", "slots", "carries/v0001", "encoder"}, set()
        assert set(figure["systems"]) == wanted | adapted
        if top := figure["systems"]["ceiling"]["value"] if "decides" in figure else 0:
            on_english = {system: figure["systems"][system]["value"] / top for system in adapted}
            assert figure["kept"] == pytest.approx(on_english)
            assert not adapted & figure["shares"].keys()
        assert ("decides" in figure) is (name != "prompt_tokens")
        assert ("by_source" in figure) is (
            (name.startswith("translation:") and "numbers" not in name) or name == "retrieval"
        )
    assert figures["retrieval"]["systems"]["ceiling"]["value"] == 1
    tokens = {name: told["value"] for name, told in figures["prompt_tokens"]["systems"].items()}
    assert tokens["slots"] < tokens["floor"] and tokens["ceiling"] == tokens["english"] < tokens["floor"]
    # The embedded decoder copies English: what reads it must beat what cannot.
    assert figures["which_of_four"]["systems"]["ceiling"]["value"] > 0.8
    assert document["corpus"]["near_duplicates"]["slots"] == "unknown"
    folder = Path(document["run_dir"])
    assert json.loads((folder / "metrics.json").read_text("utf-8")) == document
    answers = json.loads((folder / "answers.json").read_text("utf-8"))
    wanted = {name for name, role in roles.items() if role != "encoder"}
    assert len(answers) == 10 and set(answers[0]["answers"]) == wanted
    report = (folder / "report.md").read_text("utf-8")
    assert "## Figures" in report and "95 % intervals" in report

    again = run(request, quiet)
    assert again["parts_computed"] == 0
    assert {**again, "seconds": 0, "parts_computed": 0} == {**document, "seconds": 0, "parts_computed": 0}


def test_the_untrained_decoder_by_itself(corpus: Path, tmp_path: Path) -> None:
    request = HeldOutRequest(
        str(corpus), languages="tibetan", untrained=True, preset="tiny", limit=4, output=str(tmp_path),
        measure=[*QUICK, "tasks=[retrieval, tokens, cloze]"],
    )  # fmt: skip
    document = run(request, quiet)
    assert set(document["systems"]) == {"floor", "ceiling", "encoder"}
    assert set(document["figures"]) == {"retrieval", "cloze", "prompt_tokens"}
    assert set(document["figures"]["retrieval"]["shares"]) <= {"encoder"}


def test_a_metric_compares_translations(corpus: Path, tmp_path: Path) -> None:
    request = HeldOutRequest(
        str(corpus), languages="bo", untrained=True, preset="tiny", limit=4, output=str(tmp_path),
        measure=[*QUICK, "tasks=[translation]", "metric=embedded"],
    )  # fmt: skip
    figure = run(request, quiet)["figures"]["translation:cosine"]
    assert figure["model"] == "embedded"
    assert all(-1.001 <= told["value"] <= 1.001 for told in figure["systems"].values())


def test_what_was_trained_on_is_left_out(bundles: dict[str, Path], tmp_path: Path) -> None:
    corpus = write_corpus(tmp_path / "mixed.jsonl", [*TRAINED[:5], *HELD_OUT])
    request = HeldOutRequest(
        str(corpus), [str(bundles["carries"])], measure=[*QUICK, "tasks=[tokens]"], output=str(tmp_path)
    )
    found = run(request, quiet)["corpus"]
    assert found["near_duplicates"]["carries/v0001"] == found["left_out"] >= 5
    assert found["pairs"] == 45 - found["left_out"] - sum(found["dropped"].values())
    answers = [*tmp_path.rglob("answers.json")]
    assert len(answers) == 1


def test_an_interruption_keeps_what_was_measured(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(measuring, "BLOCK", 4)
    request = HeldOutRequest(
        str(corpus), languages="bo", untrained=True, preset="tiny", limit=12, output=str(tmp_path),
        measure=[*QUICK, "tasks=[which_of_four]"],
    )  # fmt: skip
    said: list[str] = []

    def stop(line: str) -> None:
        said.append(line)
        if len(said) == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt, match=r"is kept in .*parts: the same command goes on"):
        run(request, stop)
    assert said[1:] == ["floor: which_of_four, 1 to 4 of 12", *said[2:]]
    assert run(request, quiet)["parts_computed"] == 9 - 2  # three blocks each of floor, ceiling, no text


@pytest.fixture
def refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    spec = importlib.util.spec_from_file_location("jobs_evaluate", ROOT / "jobs" / "evaluate.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.chdir(tmp_path)

    def call(*flags: object) -> str:
        result = CliRunner().invoke(module.app, [str(flag) for flag in flags])
        assert isinstance(result.exception, SystemExit), result.exception
        assert result.exit_code == 2, result.stderr
        assert result.stdout == ""
        (line,) = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
        return line

    return call


def test_wrong_use_gets_a_sentence(
    refused: Callable[..., str], bundles: dict[str, Path], corpus: Path, tmp_path: Path
) -> None:
    slots = bundles["slots"]
    assert "there is no bundle at" in refused("--bundle", tmp_path / "none", "--corpus", corpus)
    assert "give --corpus FILE" in refused("--bundle", slots)
    assert "leave out --untrained, or --bundle" in refused(
        "--bundle", slots, "--untrained", "--corpus", corpus
    )
    assert "leave out --preset" in refused("--bundle", slots, "--corpus", corpus, "--preset", "tiny")
    assert "is for Tibetan: leave out --lang" in refused(
        "--bundle", slots, "--corpus", corpus, "--lang", "khmer"
    )
    assert "no language is named" in refused("--untrained", "--corpus", corpus)
    assert "compares trained runs" in refused("--run", "x", "--bundle", slots, "--corpus", corpus)
    assert "give --bundle once" in refused("--inspect", "ཁྱི", "--bundle", slots, "--bundle", slots)
    assert "did you mean" in refused("--bundle", slots, "--corpus", corpus, "--measure-set", "translation=3")
    assert "does not exist" in refused("--bundle", slots, "--corpus", "none.tsv")


def test_wrong_text_gets_a_sentence(
    refused: Callable[..., str], bundles: dict[str, Path], tmp_path: Path
) -> None:
    slots = bundles["slots"]
    khmer = write_corpus(tmp_path / "km.jsonl", phrasebook.pairs("km", 12, seed=0))
    assert "does not look like Tibetan with English: of 12 pairs are wrong script 12" in refused(
        "--bundle", slots, "--corpus", khmer
    )
    empty = tmp_path / "empty.tsv"
    empty.write_text("", encoding="utf-8")
    assert "holds no pairs" in refused("--bundle", slots, "--corpus", empty)
    same = write_corpus(tmp_path / "same.jsonl", [replace(p, line=0) for p in TRAINED])
    assert "was trained on every one of its" in refused("--bundle", bundles["carries"], "--corpus", same)


def test_other_weights_than_the_bundle_s_are_refused(
    refused: Callable[..., str], bundles: dict[str, Path], corpus: Path, tmp_path: Path
) -> None:
    other = write_decoder(tmp_path / "decoder", "qwen2")
    told = refused("--bundle", bundles["slots"], "--corpus", corpus, "--decoder", other)
    assert "was trained on another decoder than" in told


def test_bundles_that_cannot_stand_side_by_side_are_refused(
    refused: Callable[..., str], bundles: dict[str, Path], corpus: Path, tmp_path: Path
) -> None:
    ours, told = bundles["slots"], read_bundle(bundles["slots"])
    khmer = copied(ours, tmp_path / "km", language="km")
    assert "is for Khmer" in refused("--bundle", ours, "--bundle", khmer, "--corpus", corpus)
    other = copied(ours, tmp_path / "other", decoder=told.decoder.model_copy(update={"fingerprint": "0"}))
    assert "trained on another decoder" in refused("--bundle", ours, "--bundle", other, "--corpus", corpus)


def test_bundles_get_short_names_that_differ() -> None:
    folders = ["runs/a/bundle", "runs/registry/ne/v0001", "elsewhere/ne/v0001", "x/floor/bundle"]
    assert bundle_names(folders) == ["a", "ne/v0001", "ne/v0001 (2)", "floor (2)"]


def test_no_ray_is_imported() -> None:
    out, errors = python(
        "import sys, llink_ray.evaluation.held_out.job; print('ray' in sys.modules)"
    ).communicate()
    assert out.strip() == "False", errors
