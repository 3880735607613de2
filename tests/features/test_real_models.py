"""The embedded encoder and decoder through the store."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from llink_ray.features import FeatureSpec
from llink_ray.features.extract import extract
from llink_ray.features.frozen import load_model
from llink_ray.features.spec import ModelSettings, What
from llink_ray.models.locate import fingerprint
from llink_ray.settings import DecoderSettings, EncoderSettings

TEXTS = ("Where is the market?", "ཁྲོམ་ག་པར་ཡོད།", "There are 30 books.", "A", "They went home on Monday. " * 4)


@pytest.mark.parametrize(
    ("what", "part", "model"),
    [
        ("encoder", "encoder", EncoderSettings(model="embedded")),
        ("encoder+tokens", "encoder", EncoderSettings(model="embedded", max_characters=60)),
        ("teacher", "decoder", DecoderSettings(model="embedded")),
    ],
    ids=["encoder", "tokens", "teacher"],
)
def test_stored_is_what_the_model_says_of_each_text(
    tmp_path: Path, what: What, part: str, model: ModelSettings
) -> None:
    wanted = FeatureSpec(what, TEXTS, model, fingerprint("embedded", None, part), shard_size=3)
    together = extract(str(tmp_path), [wanted], batch_tokens=10_000)
    alone = load_model(what, model, "cpu")
    assert together.forwards == 2
    for i, text in enumerate(TEXTS):
        if what == "teacher":
            expected = alone.teacher_states([text])
        else:
            encoded = alone.encode([text], what == "encoder+tokens")
            expected = encoded.vectors
        np.testing.assert_allclose(together[wanted].vectors[[i]], expected.numpy(), atol=2e-5)
        if what == "encoder+tokens":
            states, mask = together[wanted].tokens.gather([i])  # type: ignore[union-attr]
            np.testing.assert_array_equal(mask, encoded.mask.numpy())
            np.testing.assert_allclose(states, encoded.tokens.numpy(), rtol=1e-3, atol=2e-3)
    again = extract(str(tmp_path), [wanted], load=lambda *_: pytest.fail("loaded"))
    assert again.forwards == 0
