from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from llink_ray.corpus.pair import TRANSLATION_KIND
from llink_ray.errors import LlinkError
from llink_ray.prompts.builder import PromptBuilder
from llink_ray.prompts.instructions import Example
from llink_ray.settings import configure
from llink_ray.text.languages import find

SMALL = ["--set", "corpus.pairs=300", "--set", "evaluation.answers=10", "--set", "evaluation.translations=5"]
Script = Callable[[str], ModuleType]


@pytest.fixture
def tokens(script: Script) -> ModuleType:
    return script("tokens")


def bytes_vocabulary(folder: Path, names: tuple[str, str]) -> Path:
    """A GPT-2 style folder that knows the 256 bytes, no merge, and the end of text."""
    from tokenizers.pre_tokenizers import ByteLevel

    letters = sorted(ByteLevel.alphabet())
    assert len(letters) == 256
    vocabulary = {letter: i for i, letter in enumerate([*letters, "<|endoftext|>"])}
    folder.mkdir()
    (folder / names[0]).write_text(json.dumps(vocabulary), encoding="utf-8")
    (folder / names[1]).write_text("#version: 0.2\n", encoding="utf-8")
    return folder


@pytest.mark.parametrize("names", [("vocab.json", "merges.txt"), ("encoder.json", "vocab.bpe")])
def test_a_bare_vocabulary_counts_what_it_must(
    tokens: ModuleType, tmp_path: Path, names: tuple[str, str]
) -> None:
    settings = configure.resolve(configure.preset("tiny"), {"slots": {"count": 4}})
    prompt = PromptBuilder(tokens.tokenizer_of(str(bytes_vocabulary(tmp_path / "v", names)), settings))
    example = Example(TRANSLATION_KIND, "Say it.", "កខ ៣៦", "ab 36", "ab 36", 0)
    found = tokens.measure(prompt, [example], settings, find("km"))
    # A beginning of text, "Say it.\n" and "\n\nAnswer: " are one token a byte.
    frame = 1 + len("Say it.\n") + len("\n\nAnswer: ")
    assert found["raw"] == frame + len("កខ ៣៦".encode())
    assert found["slots"] == frame + (4 + 2) + len(" (36)")
    assert found["english"] == frame + len("ab 36")
    assert found["text_ratio"] == pytest.approx(13 / 11)
    assert (found["count"], found["cut"], found["refused"]) == (1, 0, 0)


def test_what_the_encoder_cuts_and_what_does_not_fit_is_told(tokens: ModuleType) -> None:
    settings = configure.resolve(
        configure.preset("tiny"),
        {
            "encoder": {"max_characters": 6},
            "slots": {"max_sentences": 2},
            "stage_b": {"passage_sentences": 2},
        },
    )
    prompt = PromptBuilder(tokens.tokenizer_of("embedded", settings))
    texts = ["កខគ។", "កខគឃងចឆ។", "ក។ ខ។ គ។"]
    examples = [Example(TRANSLATION_KIND, "Say it.", text, "a", "a", 0) for text in texts]
    found = tokens.measure(prompt, examples, settings, find("km"))
    assert (found["count"], found["cut"], found["refused"]) == (2, 0.5, 1)


def test_the_command_measures_what_a_run_asks(
    tokens: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = bytes_vocabulary(tmp_path / "bytes", ("vocab.json", "merges.txt"))
    named = ["--tokenizer", "embedded", "--tokenizer", str(folder)]
    assert tokens.main(["--lang", "bo", "--lang", "am", *named, *SMALL]) == 0
    out, err = capsys.readouterr()
    rows = json.loads(out)["rows"]
    assert [(r["language"], r["tokenizer"]) for r in rows] == [
        ("bo", "embedded"),
        ("bo", "bytes"),
        ("am", "embedded"),
        ("am", "bytes"),
    ]
    assert {r["count"] for r in rows} == {15}
    assert all(r["ratio"] == pytest.approx(r["raw"] / r["slots"]) for r in rows)
    assert rows[0]["ratio"] > 5 and rows[0]["text_ratio"] > rows[0]["ratio"]
    assert rows[1]["english"] > rows[0]["english"]
    assert f"| bytes | bo | {rows[1]['raw']:.2f} |" in err


def test_real_text_comes_from_a_file(
    tokens: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    letters = "ကခဂဃငစဆဇဈညဋဌဍဎဏတထဒဓန"
    corpus = tmp_path / "my.tsv"
    lines = [f"{letters[i % 20] * 5}{letters[i // 20] * 4}\tword{i}" for i in range(200)]
    corpus.write_text("\n".join(lines) + "\n", encoding="utf-8")
    asked = ["--lang", "my", "--corpus", str(corpus), "--set", "corpus.detect_language=false"]
    assert tokens.main([*asked, *SMALL]) == 0
    (row,) = json.loads(capsys.readouterr().out)["rows"]
    assert (row["language"], row["count"]) == ("my", 5)


def test_wrong_use_is_said(tokens: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(LlinkError, match=r"holds no tokenizer: wanted is tokenizer\.json, or vocab\.json"):
        tokens.tokenizer_of(str(tmp_path), configure.resolve(configure.preset("tiny")))
    assert tokens.main(["--lang", "bo", "--tokenizer", str(tmp_path)]) == 2
    assert "holds no tokenizer" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        tokens.main(["--corpus", "x.tsv"])
