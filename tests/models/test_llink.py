"""Prompts and slots become input embeddings of the decoder."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from model_zoo import small_settings

from llink_ray.models.decoder import Decoder
from llink_ray.models.llink import LlinkModel, collate, new_slots
from llink_ray.models.projector import Projector
from llink_ray.models.slots import MeanSlots, Slots
from llink_ray.prompts import SLOT_ID


@pytest.fixture(scope="module")
def model() -> tuple[LlinkModel, Decoder]:
    settings = small_settings("embedded", "embedded")
    decoder = Decoder.load(settings.decoder)
    slots = new_slots(decoder, settings, 7)
    return LlinkModel(decoder.model, Projector(7, decoder.dim, settings.projector), slots), decoder


def embedded(decoder: Decoder, ids: list[int]) -> Any:
    return decoder.model.get_input_embeddings()(torch.tensor(ids))


def test_slots_stand_at_their_positions(model: tuple[LlinkModel, Decoder]) -> None:
    assembled, decoder = model
    assert isinstance(assembled.slots, MeanSlots)
    rows = [[5, 6, *[SLOT_ID] * 5, 7], [*[SLOT_ID] * 5, 8]]
    slots = torch.randn(2, 3, decoder.dim)
    embeddings = assembled.embed(collate(rows), Slots(slots))
    for row, ids in enumerate(rows):
        start = embeddings.shape[1] - len(ids) + ids.index(SLOT_ID)
        assert torch.equal(embeddings[row, start + 1 : start + 4], slots[row])
        assert torch.equal(embeddings[row, start], assembled.slots.delimiters[0])
        assert torch.equal(embeddings[row, start + 4], assembled.slots.delimiters[1])
        assert torch.equal(embeddings[row, start + 5 :], embedded(decoder, ids[-1:]))
    assert torch.equal(embeddings[0, :2], embedded(decoder, [5, 6]))


@pytest.mark.parametrize(
    ("rows", "count", "message"),
    [
        ([[5, *[SLOT_ID] * 4]], 3, r"\[4\] slot positions.* need \[5\]"),
        ([[5, *[SLOT_ID] * 5], [5]], 3, r"\[5, 0\] slot positions.* need \[5, 5\]"),
        ([[5, *[SLOT_ID] * 5]], 0, r"\[5\] slot positions.* need \[\]"),
    ],
)
def test_positions_and_slots_must_be_equal_in_number(
    model: tuple[LlinkModel, Decoder], rows: list[list[int]], count: int, message: str
) -> None:
    assembled, decoder = model
    slots = Slots(torch.randn(len(rows), count, decoder.dim)) if count else None
    with pytest.raises(ValueError, match=message):
        assembled.embed(collate(rows), slots)


def test_text_alone_is_the_decoder_s_own_embedding(model: tuple[LlinkModel, Decoder]) -> None:
    assembled, decoder = model
    assert torch.equal(assembled.embed(collate([[5, 6]]), None)[0], embedded(decoder, [5, 6]))


def test_delimiters_start_from_words_that_the_decoder_knows(model: tuple[LlinkModel, Decoder]) -> None:
    assembled, decoder = model
    assert isinstance(assembled.slots, MeanSlots)
    for delimiter, text in zip(assembled.slots.delimiters, ("<foreign>", "</foreign>"), strict=True):
        expected = embedded(decoder, decoder.prompt_builder.token_ids(text)).mean(0)
        assert torch.allclose(delimiter, expected, atol=1e-6)
