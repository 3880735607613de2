"""What leaves the machine has no path of it and no key in it."""

from __future__ import annotations

from pathlib import Path

import pytest

from llink_ray.storage.redact import model_name, redact, redact_tree, without_paths


@pytest.mark.parametrize(
    ("said", "left"),
    [
        ("/srv/registry/bo has no version v0009: it has v0001", "bo has no version v0009: it has v0001"),
        ("No such file: '/home/ada/models/x.safetensors'", "No such file: 'x.safetensors'"),
        ("slots in /srv/registry/bo/v0001, damaged", "slots in v0001, damaged"),
        ("see file:///srv/a/b and ~/models/c or C:\\models\\d", "see b and c or d"),
        ("s3://bucket/registry/bo is gone", "s3://bucket/registry/bo is gone"),
        ("3/4 of and/or km/h: /ready", "3/4 of and/or km/h: /ready"),
    ],
)
def test_paths_are_cut_to_their_last_part(said: str, left: str) -> None:
    assert without_paths(said) == left


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("/home/norbu/x.tsv", "x.tsv"),
        ("~/x/", "x"),
        ("C:\\Users\\norbu\\x", "x"),
        ("file:///home/norbu/a%20b", "a b"),
        ("https://norbu:pw@hub.example:8443/a?token=t#f", "https://hub.example:8443/a"),
        ("org/model", "org/model"),
        ("30 km/h", "30 km/h"),
        ("embedded", "embedded"),
        ("", ""),
    ],
)
def test_what_is_shown_of_a_string(text: str, shown: str) -> None:
    assert redact(text) == shown
    assert redact_tree({"list": [text, 1, None], "deep": ({"x": text},)}) == {
        "list": [shown, 1, None],
        "deep": [{"x": shown}],
    }


def test_a_relative_path_to_a_corpus_keeps_its_name_only() -> None:
    assert redact_tree({"corpus": {"path": "../norbu/pairs.tsv"}}) == {"corpus": {"path": "pairs.tsv"}}


def test_model_ids(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "models" / "labse").mkdir(parents=True)
    (tmp_path / "embedded").mkdir()
    monkeypatch.chdir(tmp_path)
    assert model_name("embedded") == "embedded"
    assert model_name("meta-llama/Llama-3.2-1B-Instruct") == "meta-llama/Llama-3.2-1B-Instruct"
    assert model_name("models/labse") == "labse"
    assert model_name("./models/labse/") == "labse"
    assert model_name("/not/here/any/more/labse") == "labse"
    monkeypatch.chdir("models/labse")
    assert model_name(".") == "labse"
