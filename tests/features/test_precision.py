"""Features computed in bfloat16: another space, nearly the same values, and where ``auto`` takes it."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from feature_fakes import TEXTS, spec

from llink_ray.features import FeatureSpec
from llink_ray.features.extract import extract
from llink_ray.features.spec import ModelSettings, What, extraction_dtype
from llink_ray.models.locate import fingerprint
from llink_ray.settings import DecoderSettings, EncoderSettings, Settings, configure


def settings(*assigned: str) -> Settings:
    return configure.resolve(*configure.layers("tiny", None, list(assigned)))


@pytest.mark.parametrize(
    ("capable", "dtype"), [("amx_bf16", "bfloat16"), ("avx512_bf16", "bfloat16"), ("avx512_f", "float32")]
)
def test_auto_asks_the_processor(monkeypatch: pytest.MonkeyPatch, capable: str, dtype: str) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"amx_bf16": False, capable: True})
    assert extraction_dtype(settings("features.dtype=auto")) == dtype
    assert extraction_dtype(settings("features.dtype=auto", "cluster.gpus_per_worker=1")) == "bfloat16"


def test_float32_unless_something_else_is_asked_for() -> None:
    assert extraction_dtype(settings()) == "float32"
    assert extraction_dtype(settings("features.dtype=bfloat16")) == "bfloat16"


def test_values_of_two_dtypes_are_never_mixed() -> None:
    exact, half = spec(TEXTS), spec(TEXTS, dtype="bfloat16")
    assert exact.space != half.space and exact.key != half.key
    assert {shard.dtype for shard in half.shards()} == {"bfloat16"}


@pytest.mark.parametrize(
    ("what", "part", "model"),
    [
        ("encoder", "encoder", EncoderSettings(model="embedded")),
        ("encoder+tokens", "encoder", EncoderSettings(model="embedded")),
        ("teacher", "decoder", DecoderSettings(model="embedded")),
    ],
    ids=["encoder", "tokens", "teacher"],
)
def test_bfloat16_is_float32_but_for_rounding(
    tmp_path: Path, what: What, part: str, model: ModelSettings
) -> None:
    texts = ("Where is the market?", "ཁྲོམ་ག་པར་ཡོད།", "There are 30 books.", "They went home on Monday.")
    found = fingerprint("embedded", None, part)
    exact = FeatureSpec(what, texts, model, found)
    half = FeatureSpec(what, texts, model, found, dtype="bfloat16")
    made = extract(str(tmp_path), [exact, half])
    one, other = (torch.tensor(made[wanted].vectors[list(range(4))]) for wanted in (exact, half))
    assert one.dtype == other.dtype == torch.float32 and not torch.equal(one, other)
    assert torch.nn.functional.cosine_similarity(one, other).min() > 0.999
