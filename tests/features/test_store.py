"""The store: what names features, what survives damage, where they may lie."""

from __future__ import annotations

import logging
import pickle
import resource
from pathlib import Path

import numpy as np
import pytest
from feature_fakes import DIM, TEXTS, FakeModel, spec, states, vector

from llink_ray.errors import JobFailed, LlinkError
from llink_ray.features import FeatureSpec, FeatureStore, RaggedRows
from llink_ray.features.extract import compute_shard, extract
from llink_ray.features.shard import load_view
from llink_ray.settings import DecoderSettings, EncoderSettings


def fill(store: FeatureStore, wanted: FeatureSpec) -> FakeModel:
    model = FakeModel()
    for shard in store.missing(wanted):
        compute_shard(store, shard, model, batch_tokens=64)
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


def test_rows_of_many_shards_are_those_of_one() -> None:
    random = np.random.default_rng(0)
    texts = [random.standard_normal((int(n), DIM)).astype(np.float32) for n in random.integers(0, 6, 40)]
    split = np.split(random.permutation(40), [1, 2, 9, 30])  # uneven, out of order
    locations = np.empty((2, 40), np.int64)
    for shard, members in enumerate(split):
        locations[0, members], locations[1, members] = shard, np.arange(len(members))
    ragged = RaggedRows(
        [(np.concatenate([texts[i] for i in s]), np.cumsum([0, *(len(texts[i]) for i in s)])) for s in split],
        (locations[0], locations[1]),
    )
    assert ragged.lengths.tolist() == [len(text) for text in texts]
    chosen = random.integers(-40, 40, 25)
    states, mask = ragged.gather(chosen)
    for row, index in enumerate(chosen):
        np.testing.assert_array_equal(states[row][mask[row]], texts[index])
        assert not states[row][~mask[row]].any() and mask[row].sum() == len(texts[index])
    with pytest.raises(IndexError):
        ragged.gather([40])


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
    first, second, third = store.missing(wanted)
    compute_shard(store, second, FakeModel(), 64)
    assert [shard.texts for shard in store.missing(wanted)] == [first.texts, third.texts]
    with pytest.raises(JobFailed, match="extract them first"):
        store.open(wanted.key)
    with pytest.raises(JobFailed, match="lacks the encoder features of"):
        store.finish(wanted)
    model = fill(store, wanted)
    assert sorted(text for batch in model.batches for text in batch) == sorted(first.texts + third.texts)
    assert store.missing(wanted) == []


def test_a_text_of_two_corpora_is_computed_once(store: FeatureStore) -> None:
    """The English of a sentence that stands in several languages' corpora, and a corpus that grew."""
    fill(store, spec(TEXTS[:7]))
    other = spec([TEXTS[3], "a new one", *TEXTS[:5], TEXTS[3], "another"])
    model = fill(store, other)
    assert sorted(text for batch in model.batches for text in batch) == ["a new one", "another"]
    vectors = store.open(other.key).vectors
    np.testing.assert_allclose(
        vectors[:], np.stack([vector(text).numpy() for text in other.texts]), rtol=1e-6
    )
    assert store.missing(spec(TEXTS[:7], fingerprint="f2")), "other weights have a space of their own"


def test_the_order_of_a_corpus_makes_no_work(store: FeatureStore) -> None:
    fill(store, spec(TEXTS))
    assert store.missing(spec(TEXTS[::-1])) == []


def test_what_was_cut_off_is_cut_the_same_way_again(store: FeatureStore) -> None:
    """Batches, and with them the last digits, do not depend on where a run was killed."""
    wanted = spec(TEXTS)
    units = store.missing(wanted)
    compute_shard(store, units[0], FakeModel(), 64)
    assert [shard.texts for shard in store.missing(wanted)] == [shard.texts for shard in units[1:]]


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
    second = wanted.shards()[1]
    path = Path(store.uri) / second.name
    path.write_bytes(harm(path.read_bytes()))
    with caplog.at_level(logging.WARNING):
        assert [shard.texts for shard in store.missing(wanted)] == [second.texts]
    assert "computing it again" in caplog.text and second.name in caplog.text
    fill(store, wanted)
    got = store.open(wanted.key).vectors[:]
    np.testing.assert_allclose(got, np.stack([vector(text).numpy() for text in TEXTS]), rtol=1e-6)


def test_a_shard_of_other_texts_is_not_taken(store: FeatureStore) -> None:
    wanted, other = spec(TEXTS), spec(["some other text", "and one more"])
    fill(store, wanted)
    fill(store, other)
    first = wanted.shards()[0]
    (Path(store.uri) / other.shards()[0].name).replace(Path(store.uri) / first.name)
    assert [shard.texts for shard in store.missing(wanted)] == [first.texts]


def test_nothing_but_shards_and_views_is_left(store: FeatureStore) -> None:
    wanted = spec(TEXTS)
    fill(store, wanted)
    names = sorted(path.name for path in (Path(store.uri) / wanted.space).iterdir())
    assert len(names) == 6 and {Path(name).suffix for name in names} == {".safetensors", ".ids"}
    assert [path.name for path in (Path(store.uri) / "views").iterdir()] == [f"{wanted.key}.safetensors"]
    _, manifest = load_view(Path(store.uri) / "views" / f"{wanted.key}.safetensors")
    assert (manifest["count"], manifest["what"]) == (len(TEXTS), "encoder")


def test_a_damaged_view_is_a_sentence_and_made_again(store: FeatureStore) -> None:
    wanted = spec(TEXTS)
    fill(store, wanted)
    view = Path(store.uri) / "views" / f"{wanted.key}.safetensors"
    view.write_bytes(view.read_bytes()[:-5])
    with pytest.raises(JobFailed, match="extract these features again"):
        store.open(wanted.key)
    store.finish(wanted)
    assert len(store.open(wanted.key)) == len(TEXTS)


def test_finished_store_may_be_read_only(store: FeatureStore) -> None:
    wanted = spec(TEXTS)
    fill(store, wanted)
    view = Path(store.uri) / "views" / f"{wanted.key}.safetensors"
    before = view.stat()
    store.finish(wanted)
    assert (view.stat().st_ino, view.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_full_disk_is_a_sentence_and_leaves_nothing(store: FeatureStore) -> None:
    wanted = spec([f"{i:>50}" for i in range(400)], "encoder+tokens", shard_size=400)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, limits[1]))
        with pytest.raises(JobFailed, match=r"Cannot write features at .*features\.directory"):
            fill(store, wanted)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert list((Path(store.uri) / wanted.space).iterdir()) == []


def test_places_that_cannot_be_a_store(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(LlinkError, match="is a file"):
        FeatureStore(tmp_path / "file")
    with pytest.raises(LlinkError, match="nowhere://x"):
        FeatureStore("nowhere://x")


def test_uri_is_fetched_once_and_mapped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    uri, wanted = (tmp_path / "far").as_uri(), spec(TEXTS, "encoder+tokens")
    fill(FeatureStore(uri, cache=tmp_path / "writer"), wanted)
    assert (tmp_path / "far" / "views" / f"{wanted.key}.safetensors").is_file()
    assert not list((tmp_path / "far").rglob("*.tmp"))

    reader = FeatureStore(uri, cache=tmp_path / "reader")
    features = reader.open(wanted.key)
    assert features.vectors[[4]][0] == pytest.approx(vector(TEXTS[4]).numpy())
    assert len(list((tmp_path / "reader").rglob("*.safetensors"))) == 4, "three shards and the view"
    assert reader.missing(wanted) == []
    monkeypatch.setattr("shutil.copyfileobj", lambda *_: pytest.fail("fetched again"))
    assert reader.missing(wanted) == []
    assert len(reader.missing(spec(TEXTS, "encoder+tokens", fingerprint="f2"))) == 3


def test_damage_behind_a_uri_is_mended_there(tmp_path: Path) -> None:
    uri, wanted = (tmp_path / "far").as_uri(), spec(TEXTS)
    store = FeatureStore(uri, cache=tmp_path / "cache")
    fill(store, wanted)
    last = wanted.shards()[2]
    copy = next((tmp_path / "cache").rglob(Path(last.name).name))
    raw = copy.read_bytes()
    copy.write_bytes(raw[:-1] + b"\xff")
    assert store.missing(wanted) == [], "a bad copy of a good original is fetched again"
    original = tmp_path / "far" / last.name
    original.write_bytes(raw[:-1] + b"\xff")
    other = FeatureStore(uri, cache=tmp_path / "other")
    assert [shard.texts for shard in other.missing(wanted)] == [last.texts]
    fill(other, wanted)
    assert original.read_bytes() == raw
    original.unlink()
    assert [shard.texts for shard in store.missing(wanted)] == [last.texts], (
        "a copy does not stand for an original that others need"
    )


def test_extract_here_reports_forwards(tmp_path: Path) -> None:
    first = extract(str(tmp_path), [spec(TEXTS)], load=lambda *_: FakeModel(), batch_tokens=10_000)
    assert first.forwards == 3
    again = extract(str(tmp_path), [spec(TEXTS)], load=lambda *_: pytest.fail("loaded"))
    assert again.forwards == 0
    np.testing.assert_array_equal(first[spec(TEXTS)].vectors[:], again[spec(TEXTS)].vectors[:])
