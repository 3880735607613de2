"""Running a frozen model over texts: order, batches, counting, refusal of bad values."""

from __future__ import annotations

import re
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from feature_fakes import TEXTS, FakeModel, spec, vector
from hypothesis import given
from hypothesis import strategies as st

from llink_ray.errors import JobFailed
from llink_ray.features.extract import batches, extract
from llink_ray.features.spec import Dtype, FeatureSpec, ModelSettings, What
from llink_ray.progress import progress_output
from llink_ray.settings import DecoderSettings, EncoderSettings


@given(st.lists(st.integers(0, 300), max_size=60), st.integers(1, 400))
def test_batches_hold_every_text_once_within_the_budget(counts: list[int], budget: int) -> None:
    groups = batches(counts, budget)
    assert sorted(i for group in groups for i in group) == list(range(len(counts)))
    for group in groups:
        assert len(group) == 1 or len(group) * max(counts[i] for i in group) <= budget


def test_texts_of_like_length_stand_together() -> None:
    counts = [1, 50] * 20
    assert sum(len(group) * max(counts[i] for i in group) for group in batches(counts, 100)) == sum(counts)


@pytest.mark.parametrize("what", ["encoder", "encoder+tokens", "teacher"])
def test_batching_does_not_change_values(tmp_path: Path, what: What) -> None:
    wanted = spec(TEXTS, what)
    single = extract(str(tmp_path / "1"), [wanted], batch_tokens=1, load=lambda *_: FakeModel())
    many = extract(str(tmp_path / "2"), [wanted], batch_tokens=500, load=lambda *_: FakeModel())
    assert single.forwards == len(set(TEXTS)) > many.forwards == len(wanted.shards())
    np.testing.assert_array_equal(single[wanted].vectors[:], many[wanted].vectors[:])
    sign = -1 if what == "teacher" else 1
    np.testing.assert_allclose(many[wanted].vectors[[1]][0], sign * vector(TEXTS[1]).numpy(), rtol=1e-6)
    if what == "encoder+tokens":
        for one, other in zip(
            single[wanted].tokens.gather(slice(None)),  # type: ignore[union-attr]
            many[wanted].tokens.gather(slice(None)),  # type: ignore[union-attr]
            strict=True,
        ):
            np.testing.assert_array_equal(one, other)
    else:
        assert many[wanted].tokens is None


def test_each_model_is_loaded_once(tmp_path: Path) -> None:
    loads = []

    def load(what: What, settings: ModelSettings, device: str, dtype: Dtype) -> FakeModel:
        loads.append((what, device))
        return FakeModel()

    wanted = [spec(TEXTS), spec(TEXTS[:5], "encoder+tokens"), spec(TEXTS, "teacher"), spec(TEXTS)]
    extract(str(tmp_path), wanted, device="meta", load=load)
    assert loads == [("encoder", "meta"), ("teacher", "meta")]


def test_progress_is_told_within_a_shard_and_by_what_is_computed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A decoder is slower than an encoder by far: one rate for both would mislead."""

    class Slow(FakeModel):
        def encode(self, texts: list[str], with_tokens: bool):  # type: ignore[no-untyped-def]
            time.sleep(0.06)
            return super().encode(texts, with_tokens)

    monkeypatch.setenv("LLINK_PROGRESS_SECONDS", "0.1")
    lines: list[str] = []
    texts = [f"{i:02}" for i in range(24)]
    wanted = [FeatureSpec("encoder", tuple(texts), EncoderSettings(model="fake"), "f1", 1_000)]
    wanted += [FeatureSpec("teacher", tuple(texts), DecoderSettings(model="fake"), "f1", 1_000)]
    with progress_output(lines.append):
        extract(str(tmp_path), wanted, batch_tokens=6, load=lambda *_: Slow())
    told = [
        re.fullmatch(r"encoder features: (\d+) of 24 texts, [\d.]+/s, about \d s left", line)
        for line in lines
    ]
    counts = [int(match[1]) for match in told if match]
    assert len(counts) >= 2 and counts == sorted(counts), lines
    assert any(re.fullmatch(r"encoder features: 24 texts, done in \d s", line) for line in lines)


def test_another_model_than_the_features_are_named_after(tmp_path: Path) -> None:
    with pytest.raises(JobFailed, match="same model directory"):
        extract(str(tmp_path), [spec(TEXTS)], load=lambda *_: FakeModel("other"))


@pytest.mark.parametrize(("value", "what"), [(float("nan"), "encoder"), (7e4, "encoder+tokens")])
def test_values_that_cannot_be_stored(tmp_path: Path, value: float, what: What) -> None:
    class Broken(FakeModel):
        def encode(self, texts: list[str], with_tokens: bool):  # type: ignore[no-untyped-def]
            out = super().encode(texts, with_tokens)
            if with_tokens:
                out.tokens = torch.full_like(out.tokens, value)
            else:
                out.vectors[0, 0] = value
            return out

    with pytest.raises(JobFailed, match="not finite or too large"):
        extract(str(tmp_path), [spec(["a", "b"], what)], load=lambda *_: Broken())
