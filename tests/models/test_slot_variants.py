"""The table of slot variants, and a new variant whose texts differ in their number of slots."""

from __future__ import annotations

from pathlib import Path
from typing import Any, get_args

import pytest
import torch
from model_zoo import PAIRS, learn, small_settings, write_taught

from llink_ray.bundles.bundle import read_bundle
from llink_ray.bundles.slot_encoder import SlotEncoder
from llink_ray.models.encoder import Encoded
from llink_ray.models.slots import MeanSlots, SlotModule, Slots, slot_module
from llink_ray.prompts import SLOT_ID
from llink_ray.settings import SlotSettings, StageBSettings
from llink_ray.settings.slots import SLOT_VARIANTS, SlotVariant, VariantName

TEXTS = sorted((pair.foreign for pair in PAIRS), key=len)[:: len(PAIRS) - 1]
"""The shortest and the longest."""


def count_by_length(settings: SlotSettings, text: str) -> int:
    """A slot for every 6 characters."""
    return min(settings.count, 1 + len(text) // 6)


class SlotsByLength(MeanSlots):
    """As the paper's, but only the first of them where the text is short."""

    def forward(self, projected: torch.Tensor, encoded: Encoded) -> Slots:
        slots = super().forward(projected, encoded)
        return Slots(slots.vectors, encoded.slot_counts).with_vectors(slots.vectors)


@pytest.fixture
def by_length(monkeypatch: pytest.MonkeyPatch) -> Any:
    """In the place of a variant that settings know: their names are read once."""
    row = SlotVariant(f"{__name__}:SlotsByLength", slot_count=count_by_length)
    monkeypatch.setitem(SLOT_VARIANTS, "mean", row)
    usage = {"every": 1, "weight": 0.5, "ablation": "shuffle"}
    weights = {"bag_of_words_weight": 0.2, "words_in_order_weight": 0.2, "passage_share": 0.5}
    return small_settings(
        "embedded",
        "embedded",
        slots={"variant": "mean", "count": 4, "max_sentences": 4},
        stage_b={**weights, "passage_sentences": 3, "usage": usage},
    )


def test_a_variant_with_a_count_for_each_text(by_length: Any, tmp_path: Path) -> None:
    lesson = learn(by_length)
    assert lesson.stage_b[-1]["loss"] < lesson.stage_b[0]["loss"]
    pipeline = lesson.taught
    counts = [by_length.slots.slot_count(text) for text in TEXTS]
    assert counts[0] < counts[1]
    prompts = [pipeline.decoder.prompt_builder.slot_prompt("Who?", text, by_length.slots) for text in TEXTS]
    assert [ids.count(SLOT_ID) for ids in prompts] == [count + 2 for count in counts]
    alone = [pipeline.answer_all([("Who?", text)], 1)[0] for text in TEXTS]
    assert pipeline.answer_all([("Who?", text) for text in TEXTS], 2) == alone

    bundle = write_taught(tmp_path / "bundle", pipeline)
    encoder = SlotEncoder.load(bundle, read_bundle(bundle), pipeline.encoder.token_dim)
    rows = encoder.prompt_rows(pipeline.encoder.encode(TEXTS), TEXTS)
    assert [len(each) for each in rows] == [count + 2 for count in counts]
    with torch.inference_mode():
        expected = pipeline.model.slots.prompt_rows(pipeline.model.soft_slots(pipeline.encode(TEXTS)))
    assert torch.allclose(torch.cat(rows), expected, atol=1e-5)


def test_settings_know_the_variants_of_the_table() -> None:
    assert set(get_args(VariantName)) == set(SLOT_VARIANTS)
    for name in SLOT_VARIANTS:
        settings = SlotSettings(variant=name, count=3)
        module = slot_module(settings, 12, 5)
        assert isinstance(module, SlotModule)
        assert settings.most_slots == (3 if settings.uses_slots else 0)
        assert bool(settings.slot_count("text")) == settings.uses_slots
        assert settings.slot_count("text" * 99) == settings.most_slots
        trained = sum(len(group["params"]) for group in module.parameter_groups(StageBSettings()))
        assert trained == len(list(module.parameters()))
