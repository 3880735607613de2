"""A batch of 1 and a batch of 16 give the same answers and the same logits to 1e-4."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy

import pytest
import torch
from model_zoo import FAMILIES, PAIRS, Lesson

from llink_ray.bundles.pipeline import LlinkPipeline
from llink_ray.models.decoder import Decoder
from llink_ray.models.encoder import Encoded
from llink_ray.models.llink import IGNORED, collate
from llink_ray.prompts.instructions import training_examples
from llink_ray.settings import DecoderSettings
from llink_ray.training.examples import tokenise

Lessons = Callable[[str], Lesson]
NAMES = [*FAMILIES, "embedded"]
EXAMPLES = training_examples(PAIRS[:16], 0, 0, 0.3, 1)
ASKED = [(example.instruction, example.foreign) for example in EXAMPLES]


def some(sources: Encoded, rows: slice) -> Encoded:
    parts = (None if part is None else part[rows] for part in (sources.tokens, sources.mask))
    return Encoded(sources.vectors[rows], *parts)


@pytest.mark.parametrize("name", NAMES)
def test_answers(lesson: Lessons, name: str) -> None:
    taught = lesson(name).taught
    alone = taught.answer_all(ASKED, batch_size=1)
    assert taught.answer_all(ASKED, batch_size=16) == alone
    assert taught.answer_all(ASKED[::-1], batch_size=5) == alone[::-1]
    assert len(set(alone)) > 1  # they do depend on what was asked


@pytest.mark.parametrize("name", NAMES)
def test_logits(lesson: Lessons, name: str) -> None:
    taught = lesson(name).taught
    rows = tokenise(taught.decoder.prompt_builder, EXAMPLES, taught.settings.slots, None)
    lengths = [len(row.prompt) + len(row.answer) for row in rows]
    assert len(set(lengths)) > 4
    exact = deepcopy(taught.model).double()  # float32's kernels round in another way on every processor

    def sources(texts: list[str]) -> Encoded:
        read = taught.encode(texts)
        tokens = None if read.tokens is None else read.tokens.double()
        return Encoded(read.vectors.double(), tokens, read.mask)

    with torch.no_grad():
        together = exact(
            collate([row.prompt for row in rows], [row.answer for row in rows]),
            sources([example.foreign for example in EXAMPLES]),
        )  # (16, S, V)
        for i, (row, example) in enumerate(zip(rows, EXAMPLES, strict=True)):
            alone = exact(collate([row.prompt], [row.answer]), sources([example.foreign]))
            assert alone.shape[1] == lengths[i]
            assert (together[i, -lengths[i] :] - alone[0]).abs().max() < 1e-4
        assert together.std() > 0.1


@pytest.mark.parametrize("name", NAMES)
def test_encoder(lesson: Lessons, name: str) -> None:
    encoder = lesson(name).taught.encoder
    texts = [pair.foreign for pair in PAIRS[:16]]
    together = encoder.encode(texts, with_tokens=True)
    assert together.tokens is not None and together.mask is not None
    assert together.vectors.shape == (16, encoder.dim) and together.vectors.dtype == torch.float32
    assert together.tokens.shape == (*together.mask.shape, encoder.token_dim)
    assert not together.tokens[~together.mask].any()
    assert together.mask.sum(1).tolist() == encoder.token_counts(texts)
    for i, text in enumerate(texts):
        alone = encoder.encode([text], with_tokens=True)
        assert alone.tokens is not None
        assert torch.allclose(together.vectors[i], alone.vectors[0], atol=1e-5)
        assert torch.allclose(together.tokens[i][together.mask[i]], alone.tokens[0], atol=1e-5)
    assert encoder.encode(texts).tokens is None


@pytest.mark.parametrize("name", NAMES)
def test_vectors(lesson: Lessons, name: str) -> None:
    taught: LlinkPipeline = lesson(name).taught
    texts = [pair.foreign for pair in PAIRS]
    whole = torch.from_numpy(taught.embed(texts, batch_size=16))
    assert torch.allclose(whole, torch.from_numpy(taught.embed(texts, batch_size=1)), atol=1e-4)


def test_teacher_states_of_the_embedded_decoder(lesson: Lessons) -> None:
    decoder = Decoder.load(DecoderSettings(model="embedded"))  # without adapters, as features are computed
    alone = torch.cat([decoder.teacher_states([pair.english]) for pair in PAIRS])
    assert torch.allclose(lesson("embedded").teacher, alone, atol=1e-4)


def test_collate() -> None:
    prompts = collate([[5, 6, 7], [8]], [[9], [1, 2]])
    assert prompts.ids.tolist() == [[5, 6, 7, 9], [0, 8, 1, 2]]
    assert prompts.mask.tolist() == [[1, 1, 1, 1], [0, 1, 1, 1]]
    assert prompts.labels.tolist() == [[IGNORED] * 3 + [9], [IGNORED] * 2 + [1, 2]]
    asked = collate([[5, 6], [7]])
    assert asked.ids.tolist() == [[5, 6], [0, 7]]
    assert (asked.labels == IGNORED).all()


def test_the_output_layer_reads_contiguous_states() -> None:
    decoder = Decoder.load(DecoderSettings(model="embedded"))
    seen: list[bool] = []
    layer = decoder.model.get_output_embeddings()
    hook = layer.register_forward_hook(lambda _, inputs, __: seen.append(inputs[0].is_contiguous()))
    questions = [("Who?", "The cook sold 3 hats."), ("Where?", "The farmer saw a dog in the house.")]
    answers = decoder.answer_english(questions, 2, 4)
    hook.remove()
    assert seen and all(seen)
    assert answers == [decoder.answer_english([question], 1, 4)[0] for question in questions]
