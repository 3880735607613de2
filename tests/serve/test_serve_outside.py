"""What the API says of text that a bundle was not trained for: its answer comes with a warning."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx2
import pytest
from model_zoo import write_taught
from serve_load import body
from serve_zoo import Running, trained, up

from llink_ray.bundles.registry import Registry
from llink_ray.corpus.phrasebook import pairs
from llink_ray.models.novelty import NoveltyDetector

REAL = "བོད་ཀྱི་རྒྱལ་རབས་ནང་ཆོས་རྒྱལ་གསུམ་གྱི་དུས་སྐབས་ནི་ཧ་ཅང་གལ་ཆེན་པོ་ཡིན་པར་ངོས་འཛིན་བྱེད།"
OWN = [pair.foreign for pair in pairs("bo", 400, seed=3)]


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Tibetan, which knows what text it was trained on."""
    folder = tmp_path_factory.mktemp("outside")
    taught = trained()
    detector = NoveltyDetector.fit(taught.encoder.encode(OWN).vectors)
    Registry(folder / "registry").publish(write_taught(folder / "bo", taught, detector))
    with up(folder / "registry") as running:
        yield running.url


def metadata_of(url: str, text: str) -> dict[str, Any]:
    request_body = body(text, max_tokens=4, llink={"grounding": True})
    answer = httpx2.post(f"{url}/v1/chat/completions", json=request_body, timeout=60)
    assert answer.status_code == 200
    metadata: dict[str, Any] = answer.json()["llink"]
    return metadata


def test_text_of_the_training_s_kind_has_no_warning(url: str) -> None:
    metadata = metadata_of(url, f"Who?\n{OWN[0]}")
    assert metadata["notices"] == [] and [
        span["outside"] for span in metadata["spans"] if span["served"]
    ] == [0]
    assert "unlike" not in metadata["grounding"]["sentence"]


def test_other_text_has_one_also_from_the_cache(url: str) -> None:
    for _ in range(2):
        metadata = metadata_of(url, f"Who?\n{REAL}")
        (notice,) = metadata["notices"]
        assert notice["code"] == "outside_training"
        assert notice["message"].startswith("the text is unlike all that this model was trained on")
        assert [span["outside"] for span in metadata["spans"] if span["served"]] == [1]
    assert metadata["slot_cache_hits"] == 1


def test_of_several_sentences_those_are_counted_that_are_meant(url: str) -> None:
    metadata = metadata_of(url, f"Who?\n{OWN[1]} {REAL}")
    (notice,) = metadata["notices"]
    assert notice["message"].startswith("1 of 2 foreign sentences are unlike")


def test_a_bundle_that_cannot_tell_says_so(api: Running) -> None:
    metadata = metadata_of(api.url, f"Who?\n{REAL}")
    assert metadata["notices"] == [] and "unlike" not in metadata["grounding"]["sentence"]
    assert [span["outside"] for span in metadata["spans"] if span["sentences"]] == [None]


def test_models_say_what_they_were_trained_on(url: str) -> None:
    models = httpx2.get(f"{url}/v1/models").json()["data"]
    (ours,) = (one["llink"] for one in models if one["id"] == "llink:bo")
    assert (ours["corpus"], ours["encoder"], ours["decoder"]) == ("phrasebook", "embedded", "embedded")
