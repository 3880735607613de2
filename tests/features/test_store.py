"""The store: what names features, what survives damage, where they may lie."""

from __future__ import annotations

import json
import logging
import pickle
import resource
from pathlib import Path

import numpy as np
import pytest
from feature_fakes import DIM, TEXTS, FakeModel, spec, states, vector

from llink_ray.errors import JobFailed, LlinkError
from llink_ray.features import FeatureSpec, FeatureStore
from llink_ray.features.extract import compute_shard, extract
from llink_ray.settings import DecoderSettings, EncoderSettings


def fill(store: FeatureStore, wanted: FeatureSpec) -> FakeModel:
    model = FakeModel()
    for index in store.missing(wanted):
        compute_shard(store, wanted.shard(index), model, batch_tokens=64)
    store.finish(wanted)
    return model


@pytest.fixture
def store(tmp_path: Path) -> FeatureStore:
    return FeatureStore(tmp_path / "features")


def test_key_names_everything_that_changes_values() -> None:
    base = spec(TEXTS)
    others = [
        spec(TEXTS[::-1]),
        spec(["ab", "c"]),
        spec(["a", "bc"]),
        spec(TEXTS, fingerprint="f2"),
        spec(TEXTS, "encoder+tokens"),
        spec(TEXTS, "encoder+tokens", state_dtype="float32"),
        spec(TEXTS, "teacher"),
        spec(TEXTS, "teacher", model=DecoderSettings(model="fake", max_teacher_tokens=7)),
        spec(TEXTS, "teacher", model=DecoderSettings(model="fake", teacher_token="<x>")),  # noqa: S106
        spec(TEXTS, model=EncoderSettings(model="fake", max_characters=9)),
        spec(TEXTS, model=EncoderSettings(model="fake", prompt="query: ")),
        spec(TEXTS, model=EncoderSettings(model="fake", pooling="cls")),
    ]
    assert len({wanted.key for wanted in [base, *others]}) == len(others) + 1


def test_key_ignores_what_changes_no_value() -> None:
    assert spec(TEXTS, model=EncoderSettings(model="elsewhere")).key == spec(TEXTS).key
    checkpointed = DecoderSettings(model="fake", gradient_checkpointing=True)
    assert spec(TEXTS, "teacher", model=checkpointed).key == spec(TEXTS, "teacher").key


def test_no_texts_is_a_sentence() -> None:
    with pytest.raises(LlinkError, match="no texts"):
        spec([])


def test_rows_come_back_in_any_order(store: FeatureStore) -> None:
    wanted = spec(TEXTS)
    fill(store, wanted)
    vectors = store.open(wanted.key).vectors
    expected = np.stack([vector(text).numpy() for text in TEXTS])
    assert vectors.shape == (len(TEXTS), DIM)
    for indices in ([10, 0, 5, 5, 3], np.array([9, -1]), slice(2, 9, 3), np.arange(11) % 2 == 0):
        got = vectors[indices]
        assert got.dtype == np.float32
        np.testing.assert_array_equal(got, expected[indices])
    assert vectors[[]].shape == (0, DIM)
    with pytest.raises(IndexError):
        vectors[[len(TEXTS)]]


def test_token_states_are_padded_and_masked(store: FeatureStore) -> None:
    wanted = spec(TEXTS, "encoder+tokens")
    fill(store, wanted)
    tokens = store.open(wanted.key).tokens
    assert tokens is not None
    assert tokens.lengths.tolist() == [len(text) for text in TEXTS]
    asked = [9, 2, 1, 1]
    got, mask = tokens.gather(asked)
    assert got.shape == (4, 40, DIM) and got.dtype == np.float32
    assert mask.sum(1).tolist() == [40, 0, 13, 13]
    for row, i in enumerate(asked):
        if TEXTS[i]:  # float16 in the store
            np.testing.assert_allclose(got[row][mask[row]], states(TEXTS[i]).numpy(), rtol=1e-3)
        assert not got[row][~mask[row]].any()
    assert tokens.gather([2])[0].shape == (1, 1, DIM)


def test_float32_token_states_are_exact(store: FeatureStore) -> None:
    wanted = spec(["pi π", "e"], "encoder+tokens", state_dtype="float32")
    fill(store, wanted)
    tokens = store.open(wanted.key).tokens
    assert tokens is not None
    np.testing.assert_array_equal(tokens.gather([0])[0][0], states("pi π").numpy())


def test_values_are_mapped_and_travel_as_an_address(store: FeatureStore) -> None:
    wanted = spec(["x" * 100] * 400, "encoder+tokens", shard_size=400)
    fill(store, wanted)
    features = store.open(wanted.key)
    assert isinstance(features.vectors._shards[0], np.memmap)
    sent = pickle.dumps(features)
    assert len(sent) < 1_000
    np.testing.assert_array_equal(pickle.loads(sent).vectors[:], features.vectors[:])  # noqa: S301


def test_only_missing_shards_are_computed(store: FeatureStore) -> None:
    wanted = spec(TEXTS)
    compute_shard(store, wanted.shard(1), FakeModel(), 64)
    assert store.missing(wanted) == [0, 2]
    with pytest.raises(JobFailed, match="extract them first"):
        store.open(wanted.key)
    with pytest.raises(JobFailed, match="shard-00000"):
        store.finish(wanted)
    model = fill(store, wanted)
    assert sorted(text for batch in model.batches for text in batch) == sorted(TEXTS[:4] + TEXTS[8:])
    assert store.missing(wanted) == []


@pytest.mark.parametrize(
    "harm",
    [
        lambda raw: raw[:-3],
        lambda raw: raw[:5],
        lambda raw: b"",
        lambda raw: raw[:-1] + bytes([raw[-1] ^ 1]),
        lambda raw: b"\x08" + bytes(7) + b"not json",
        lambda raw: raw + b"more",
    ],
    ids=["cut", "cut in the head", "empty", "one bit", "not a shard", "too long"],
)
def test_damage_is_found_and_mended(store: FeatureStore, harm, caplog: pytest.LogCaptureFixture) -> None:  # type: ignore[no-untyped-def]
    wanted = spec(TEXTS)
    fill(store, wanted)
    path = Path(store.uri) / wanted.shard(1).name
    path.write_bytes(harm(path.read_bytes()))
    with caplog.at_level(logging.WARNING):
        assert store.missing(wanted) == [1]
    assert "computing it again" in caplog.text and "shard-00001" in caplog.text
    fill(store, wanted)
    assert store.open(wanted.key).vectors[[4]][0] == pytest.approx(vector(TEXTS[4]).numpy())


def test_a_shard_of_other_texts_is_not_taken(store: FeatureStore) -> None:
    wanted, other = spec(TEXTS), spec(TEXTS[:2])
    fill(store, wanted)
    fill(store, other)
    (Path(store.uri) / other.shard(0).name).replace(Path(store.uri) / wanted.shard(0).name)
    assert store.missing(wanted) == [0]


def test_nothing_but_shards_and_manifest_is_left(store: FeatureStore) -> None:
    wanted = spec(TEXTS)
    fill(store, wanted)
    folder = Path(store.uri) / wanted.key
    names = sorted(path.name for path in folder.iterdir())
    assert names == ["manifest.json", *(f"shard-0000{i}.safetensors" for i in range(3))]
    manifest = json.loads((folder / "manifest.json").read_text())
    assert (manifest["count"], manifest["dim"], manifest["what"]) == (len(TEXTS), DIM, "encoder")


def test_finished_store_may_be_read_only(store: FeatureStore) -> None:
    wanted = spec(TEXTS)
    fill(store, wanted)
    manifest = Path(store.uri) / wanted.key / "manifest.json"
    before = manifest.stat()
    store.finish(wanted)
    assert (manifest.stat().st_ino, manifest.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_full_disk_is_a_sentence_and_leaves_nothing(store: FeatureStore) -> None:
    wanted = spec(["x" * 50] * 400, "encoder+tokens", shard_size=400)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, limits[1]))
        with pytest.raises(JobFailed, match=r"Cannot write features at .*features\.directory"):
            fill(store, wanted)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert list((Path(store.uri) / wanted.key).iterdir()) == []


def test_places_that_cannot_be_a_store(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(LlinkError, match="is a file"):
        FeatureStore(tmp_path / "file")
    with pytest.raises(LlinkError, match="nowhere://x"):
        FeatureStore("nowhere://x")


def test_uri_is_fetched_once_and_mapped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    uri, wanted = (tmp_path / "far").as_uri(), spec(TEXTS, "encoder+tokens")
    fill(FeatureStore(uri, cache=tmp_path / "writer"), wanted)
    assert (tmp_path / "far" / wanted.key / "manifest.json").is_file()
    assert not list((tmp_path / "far").rglob("*.tmp"))

    reader = FeatureStore(uri, cache=tmp_path / "reader")
    features = reader.open(wanted.key)
    assert features.vectors[[4]][0] == pytest.approx(vector(TEXTS[4]).numpy())
    assert len(list((tmp_path / "reader").rglob("*.safetensors"))) == 3
    monkeypatch.setattr("shutil.copyfileobj", lambda *_: pytest.fail("fetched again"))
    assert reader.missing(wanted) == []
    assert len(reader.missing(spec(TEXTS[::-1]))) == 3


def test_damage_behind_a_uri_is_mended_there(tmp_path: Path) -> None:
    uri, wanted = (tmp_path / "far").as_uri(), spec(TEXTS)
    store = FeatureStore(uri, cache=tmp_path / "cache")
    fill(store, wanted)
    copy = next((tmp_path / "cache").rglob("shard-00002*"))
    raw = copy.read_bytes()
    copy.write_bytes(raw[:-1] + b"\xff")
    assert store.missing(wanted) == [], "a bad copy of a good original is fetched again"
    original = tmp_path / "far" / wanted.shard(2).name
    original.write_bytes(raw[:-1] + b"\xff")
    other = FeatureStore(uri, cache=tmp_path / "other")
    assert other.missing(wanted) == [2]
    fill(other, wanted)
    assert original.read_bytes() == raw
    original.unlink()
    assert store.missing(wanted) == [2], "a copy does not stand for an original that others need"


def test_extract_here_reports_forwards(tmp_path: Path) -> None:
    first = extract(str(tmp_path), [spec(TEXTS)], load=lambda *_: FakeModel(), batch_tokens=10_000)
    assert first.forwards == 3
    again = extract(str(tmp_path), [spec(TEXTS)], load=lambda *_: pytest.fail("loaded"))
    assert again.forwards == 0
    np.testing.assert_array_equal(first[spec(TEXTS)].vectors[:], again[spec(TEXTS)].vectors[:])
