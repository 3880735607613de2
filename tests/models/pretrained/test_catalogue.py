"""The catalogue that is shipped, and what is refused in another."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from pretrained_world import World

from llink_ray.errors import LlinkError
from llink_ray.models.pretrained.catalogue import catalogue, find_model, find_pair, pair_with
from llink_ray.models.pretrained.verify import read_reference


def test_every_row_is_whole() -> None:
    shipped = catalogue()
    assert "small" in shipped.pairs and len(shipped.pairs) >= 4
    used = {m.id for pair in shipped.pairs.values() for m in (pair.encoder, pair.decoder)}
    assert used == set(shipped.models)
    for model in shipped.models.values():
        assert model.licence
        if model.packages:
            assert "model.safetensors" in model.packages.sha256 and model.hub
            assert "model.safetensors" in model.hub.sha256
            assert model.reference or model.question  # what comes out of packages is held against something


def test_reference_vectors_are_unit_vectors_of_different_texts() -> None:
    small = find_pair("small").encoder
    assert small.reference
    reference = read_reference(catalogue().folder / small.reference.file)
    assert len(reference.texts) == 10 and reference.prompt == small.prompt
    np.testing.assert_allclose(np.linalg.norm(reference.vectors, axis=1), 1, atol=1e-3)
    cosines = (reference.vectors @ reference.vectors.T)[~np.eye(10, dtype=bool)]
    assert cosines.max() < small.reference.hub_cosine  # one text's vector cannot pass for another's


def test_a_name_that_is_not_there_names_those_that_are() -> None:
    with pytest.raises(LlinkError, match=r"there is no pair 'smal': name one of small, "):
        find_pair("smal")
    assert find_model("org/unknown") is None
    assert pair_with(find_pair("small").decoder) == "small"


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("member", "../../etc/passwd", "not a plain relative path"),
        ("member", "/etc/passwd", "not a plain relative path"),
        ("sha256", "abc", "sha256"),
        ("package", "--index-url=http://evil", "package"),
        ("version", "1.0 --pre", "version"),
    ],
)
def test_a_row_that_leads_elsewhere_is_refused(world: World, key: str, value: str, said: str) -> None:
    world.models["org/tiny-decoder"]["packages"]["take"][0][key] = value
    world.write()
    with pytest.raises(LlinkError, match=said) as error:
        catalogue()
    assert str(world.catalogue) in str(error.value) and "\n" not in str(error.value)


def test_packages_need_a_pinned_revision(world: World) -> None:
    del world.models["org/tiny-decoder"]["revision"]
    world.write()
    with pytest.raises(LlinkError, match="a revision comes with"):
        catalogue()


@pytest.mark.parametrize("text", ["", "models: [", "models: {}", "models: {}\npairs: {a: {encoder: x}}"])
def test_a_file_that_is_no_catalogue(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    (tmp_path / "mine.yaml").write_text(text)
    monkeypatch.setenv("LLINK_CATALOGUE", str(tmp_path / "mine.yaml"))
    with pytest.raises(LlinkError, match=r"the catalogue .*mine\.yaml") as error:
        catalogue()
    assert "\n" not in str(error.value)
