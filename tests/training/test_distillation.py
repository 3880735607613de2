"""The teacher of a distilled answer is the decoder as it came, which reads the English."""

from __future__ import annotations

import torch

from llink_ray.models.decoder import Decoder
from llink_ray.models.encoder import Encoded
from llink_ray.models.llink import LlinkModel, collate, new_slots, with_lora
from llink_ray.models.projector import Projector
from llink_ray.settings import Settings
from llink_ray.training import losses
from llink_ray.training.stage_b import Objective

WIDTH = 12


def test_the_teacher_has_no_adapters_and_they_learn_all_the_same() -> None:
    settings = Settings.model_validate(
        {
            "encoder": {"model": "embedded"},
            "decoder": {"model": "embedded"},
            "slots": {"variant": "mean", "count": 2, "numerals": False},
            "stage_b": {"distillation_weight": 1.0, "usage": {"every": 0}},
        }
    )
    decoder, untrained = Decoder.load(settings.decoder), Decoder.load(settings.decoder)
    torch.manual_seed(0)
    slots = new_slots(decoder, settings, WIDTH)
    projector = Projector(WIDTH, decoder.dim, settings.projector)
    model = LlinkModel(with_lora(decoder.model, settings.lora), projector, slots)
    adapters = {name: p for name, p in model.decoder.named_parameters() if p.requires_grad}
    with torch.no_grad():
        for name, parameter in adapters.items():
            if "lora_B" in name:
                parameter.normal_(0, 0.1)

    build = decoder.prompt_builder
    answers = [build.answer_ids(text) for text in ("three", "the farmer")]
    english = collate([build.text_prompt("Who?", text) for text in ("3 dogs", "A farmer.")], answers)
    prompts = collate([build.slot_prompt("Who?", text, settings.slots) for text in ("ཁྱི", "ཞིང་པ")], answers)
    objective = Objective(model, settings.stage_b)
    expected = LlinkModel(untrained.model, projector, slots)
    at = losses.predicting(english.labels)
    with torch.no_grad():
        teacher = expected.decode(expected.embed(english, None), english.mask, at)
        adapted = model.decode(model.embed(english, None), english.mask, at)
    torch.testing.assert_close(objective.read_english(english), teacher)
    assert not torch.allclose(adapted, teacher, atol=0.1), "the adapters do something"

    loss, _ = objective(prompts, Encoded(torch.randn(2, WIDTH)), english=english)
    loss.backward()
    assert {name for name, p in adapters.items() if p.requires_grad and p.grad is not None} == set(adapters)
    frozen = [p for p in model.decoder.parameters() if not any(p is q for q in adapters.values())]
    assert all(p.grad is None and not p.requires_grad for p in frozen)
