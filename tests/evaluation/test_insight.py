"""What the decoder was given: the same answer, shares that add up, slots in words, on any family."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from model_zoo import FAMILIES, PAIRS, Lesson, learn, small_settings, write_bert, write_decoder

from llink_ray.bundles.pipeline import LlinkPipeline
from llink_ray.evaluation.attention import eager, layout
from llink_ray.evaluation.insight import Insight, insight, readable
from llink_ray.models.llink import collate
from llink_ray.models.slots import Slots
from llink_ray.prompts import SLOT_ID
from llink_ray.text.languages import find
from llink_ray.text.numerals import numerals

ASK = "How many? Who?"
TEXT, OTHERS = PAIRS[13].foreign, [pair.foreign for pair in PAIRS[:5]]
MISSING = "return no attention weights"


@pytest.fixture(scope="module", params=["embedded", *FAMILIES])
def pipeline(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> LlinkPipeline:
    """The embedded decoder is a Llama."""
    folder = tmp_path_factory.mktemp("models")
    if request.param == "embedded":
        return learn(small_settings("embedded", "embedded")).taught
    encoder = write_bert(folder / "bert")
    decoder = write_decoder(folder / "decoder", request.param)
    changes = {"encoder": {"model": str(encoder), "pooling": "mean"}}
    return learn(small_settings(str(encoder), str(decoder), **changes)).taught


@torch.inference_mode()
def slots_of(pipeline: LlinkPipeline, texts: list[str]) -> torch.Tensor:
    """(B, K, d), each text read alone."""
    return torch.cat([pipeline.model.soft_slots(pipeline.encode([text])).vectors for text in texts])


@pytest.fixture(scope="module")
def seen(pipeline: LlinkPipeline) -> Insight:
    return insight(pipeline, ASK, TEXT, OTHERS, top=4)


def test_the_answer_is_the_one_given(pipeline: LlinkPipeline, seen: Insight) -> None:
    assert seen.answer == pipeline.answer(ASK, TEXT)
    assert 1 <= len(seen.answer_tokens) <= pipeline.settings.evaluation.max_new_tokens
    assert seen.tokens_raw == len(pipeline.decoder.prompt_builder.text_prompt(ASK, TEXT))
    assert seen.tokens_slots == len(
        pipeline.decoder.prompt_builder.slot_prompt(ASK, TEXT, pipeline.settings.slots)
    )


def test_every_row_of_attention_adds_up(pipeline: LlinkPipeline, seen: Insight) -> None:
    layers = pipeline.decoder.model.config.num_hidden_layers
    assert len(seen.attention_by_layer) == layers
    assert seen.columns == ["1", "2", "3", "marks", "numerals", "instruction", "answer"]
    for rows in (seen.attention, *seen.attention_by_layer):
        assert len(rows) == len(seen.answer_tokens)
        for row in rows:
            assert sum(row) == pytest.approx(1, abs=1e-5)
            assert min(row) >= 0
            assert all(share > 0 for share in row[:-1])  # slots, marks, lane and instruction are all there
    assert seen.attention[0][-1] == 0  # nothing has been said before the first token
    assert all(row[-1] > 0 for row in seen.attention[1:])


def test_attention_is_the_one_of_the_generation_itself(pipeline: LlinkPipeline, seen: Insight) -> None:
    model, decoder = pipeline.model, pipeline.decoder
    row = decoder.prompt_builder.slot_prompt(ASK, TEXT, pipeline.settings.slots)
    prompts, start = collate([row]), row.index(SLOT_ID)
    with torch.inference_mode(), eager(decoder.model):
        made = model.decoder.generate(
            inputs_embeds=model.embed(prompts, Slots(slots_of(pipeline, [TEXT]))),
            attention_mask=prompts.mask,
            max_new_tokens=len(seen.answer_tokens),
            do_sample=False,
            eos_token_id=decoder.stop_ids(),
            pad_token_id=decoder.pad_id(),
            return_dict_in_generate=True,
            output_attentions=True,
        )
    assert len(made.attentions) == len(seen.answer_tokens)
    for t, step in enumerate(made.attentions):
        for layer, weights in enumerate(step):
            last = weights[0].mean(0)[-1]  # (S + t,)
            found = seen.attention_by_layer[layer][t]
            assert found[:3] == pytest.approx(last[start + 1 : start + 4].tolist(), abs=1e-5)
            assert found[3] == pytest.approx(float(last[start] + last[start + 4]), abs=1e-5)
            assert found[6] == pytest.approx(float(last[len(row) :].sum()), abs=1e-5)


def test_the_decoder_is_left_as_it_was(pipeline: LlinkPipeline, seen: Insight) -> None:
    assert pipeline.decoder.model.config._attn_implementation == "sdpa"
    with pytest.raises(KeyError), eager(pipeline.decoder.model):
        assert pipeline.decoder.model.config._attn_implementation == "eager"
        raise KeyError
    assert pipeline.decoder.model.config._attn_implementation == "sdpa"


def test_the_lane_is_told_apart_from_what_follows(pipeline: LlinkPipeline) -> None:
    prompt, settings = pipeline.decoder.prompt_builder, pipeline.settings.slots
    for text in ("ཁྱི 30", "ཁྱི ༣༠ 7", "ཁྱི"):
        found = layout(prompt, ASK, text, settings)
        assert found.ids == prompt.slot_prompt(ASK, text, settings)
        assert len(found.columns) == len(found.ids)
        places = [c for i, c in zip(found.ids, found.columns, strict=True) if i == SLOT_ID]
        assert places == [3, 0, 1, 2, 3]
        lane = [i for i, c in zip(found.ids, found.columns, strict=True) if c == 4]
        said = prompt.tokenizer.decode(lane).strip()
        wanted = {"ཁྱི 30": "(30)", "ཁྱི ༣༠ 7": "(30, 7)", "ཁྱི": ""}[text]
        assert said.startswith(wanted) and said.removeprefix(wanted).strip() == ""
        rest = prompt.tokenizer.decode([i for i, c in zip(found.ids, found.columns, strict=True) if c == 5])
        assert "How many? Who?" in rest and "30" not in rest


def test_slots_are_put_in_words(pipeline: LlinkPipeline, seen: Insight) -> None:
    model, tokenizer = pipeline.model, pipeline.decoder.tokenizer
    slots = slots_of(pipeline, [TEXT])[0].double()
    embed = model.decoder.get_input_embeddings()
    known = min(len(tokenizer), embed.weight.shape[0])
    table = embed(torch.arange(known)).detach().double()  # (V, d)
    assert len(seen.slots) == len(slots)
    for slot, vector in zip(seen.slots, slots, strict=True):
        cosines = (table @ vector) / table.norm(dim=1).clamp(min=1e-12) / vector.norm()
        assert [n.score for n in slot.nearest] == pytest.approx(sorted(cosines.tolist())[:-5:-1], abs=1e-5)
        assert slot.nearest[0].token == readable(tokenizer, int(cosines.argmax()))
        assert len(slot.read) == 4
        probabilities = [n.score for n in slot.read]
        assert probabilities == sorted(probabilities, reverse=True)
        assert 0 < sum(probabilities) <= 1


def test_a_slot_that_is_a_word_s_embedding_is_that_word(
    pipeline: LlinkPipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = pipeline.model.decoder.get_input_embeddings()
    ids = [pipeline.decoder.prompt_builder.token_ids(word)[0] for word in ("farmer", "river", "Monday")]
    words = table(torch.tensor(ids))[None]  # (1, K, d)
    monkeypatch.setattr(
        pipeline.model, "soft_slots", lambda sources: Slots(words.expand(len(sources.vectors), -1, -1))
    )
    found = insight(pipeline, ASK, TEXT, OTHERS[:1], top=1)
    for slot, token in zip(found.slots, ids, strict=True):
        assert slot.nearest[0].token == readable(pipeline.decoder.tokenizer, token)
        assert slot.nearest[0].score == pytest.approx(1, abs=1e-5)
    assert found.between == [pytest.approx([1, 1], abs=1e-5)] * 2


def test_similarities(pipeline: LlinkPipeline, seen: Insight) -> None:
    slots = slots_of(pipeline, [TEXT, *OTHERS])
    assert [len(row) for row in seen.within] == [3] * 3
    assert [len(row) for row in seen.between] == [6] * 6
    for i in range(3):
        assert seen.within[i][i] == pytest.approx(1, abs=1e-5)
        for j in range(3):
            pairs = torch.cosine_similarity(slots[:, i], slots[:, j], dim=-1)
            assert seen.within[i][j] == pytest.approx(float(pairs.mean()), abs=1e-4)
    means = slots.mean(1)
    for i in range(6):
        alike = torch.cosine_similarity(means[i : i + 1], means, dim=-1)
        assert seen.between[i] == pytest.approx(alike.tolist(), abs=1e-4)


def test_it_is_plain_data(seen: Insight) -> None:
    data = seen.as_dict()
    assert json.loads(json.dumps(data, allow_nan=False)) == data
    assert data["text"] == TEXT and data["others"] == OTHERS
    assert all(math.isfinite(share) for row in data["attention"] for share in row)


@pytest.fixture(scope="module")
def lesson() -> Lesson:
    return learn(small_settings("embedded", "embedded"))


def test_pieces_and_numerals_are_those_of_the_text(lesson: Lesson) -> None:
    pipeline = lesson.taught
    found = insight(pipeline, ASK, "ང ༣༠ 😀")
    assert found.numerals == ["30"]
    assert len(found.pieces) == pipeline.encoder.token_counts(["ང ༣༠ 😀"])[0]
    assert any("ང" in piece for piece in found.pieces)
    unknown = insight(pipeline, ASK, "ང").unknown
    assert found.unknown >= unknown == 0
    assert found.between == [[pytest.approx(1, abs=1e-5)]] and found.others == []


def test_numerals_are_read_in_the_language_of_the_bundle_as_in_the_prompt(lesson: Lesson) -> None:
    pipeline, text = lesson.taught, "ང ༡,༢༣༤.༥"
    found, prompt = insight(pipeline, ASK, text), pipeline.decoder.prompt_builder
    ids = prompt.slot_prompt(ASK, text, pipeline.settings.slots, find("bo"))
    assert found.numerals == ["1234.5"] != numerals(text)
    assert found.numerals[0] in prompt.tokenizer.decode([i for i in ids if i != SLOT_ID])


def test_without_a_lane_there_are_no_numerals() -> None:
    found = insight(
        learn(small_settings("embedded", "embedded", slots={"numerals": False})).taught, ASK, TEXT
    )
    assert found.numerals == []
    assert all(row[4] == 0 for row in found.attention)
    assert all(sum(row) == pytest.approx(1, abs=1e-5) for row in found.attention)


def test_a_decoder_without_adapters_is_looked_at_too(lesson: Lesson) -> None:
    from llink_ray.models.llink import LlinkModel

    fresh = learn(small_settings("embedded", "embedded")).taught
    plain = fresh.model.decoder.unload()
    bare = LlinkModel(plain, fresh.model.projector, fresh.model.slots)
    pipeline = LlinkPipeline(fresh.encoder, fresh.decoder, bare, fresh.settings, "bo")
    found = insight(pipeline, ASK, TEXT)
    assert found.answer == pipeline.answer(ASK, TEXT) and not found.attention_missing
    assert found.attention != insight(lesson.taught, ASK, TEXT).attention


@pytest.mark.parametrize("how", ["none", "of another shape", "refused"])
def test_a_decoder_that_does_not_say_is_told_of(
    lesson: Lesson, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    pipeline = lesson.taught
    model, forward = pipeline.decoder.model, pipeline.decoder.model.forward

    def silent(*args: Any, **given: Any) -> Any:
        if given.get("output_attentions") and how == "refused":
            raise ValueError("no attention\nhere")
        out = forward(*args, **given)
        shape = None if how == "none" else [None, torch.ones(1, 2, 3, 5)]
        out["attentions"] = shape
        return out

    monkeypatch.setattr(model, "forward", silent)
    found = insight(pipeline, ASK, TEXT)
    assert MISSING in found.attention_missing and "llama" in found.attention_missing
    assert "\n" not in found.attention_missing
    assert found.attention == [] and found.attention_by_layer == []
    assert found.answer == pipeline.answer(ASK, TEXT) and len(found.slots) == 3
    assert model.config._attn_implementation == "sdpa"


def test_mamba_has_no_attention_to_show(tmp_path: Path) -> None:
    import transformers as tf
    from model_zoo import tokenizer

    made = tokenizer({"bos_token": "<s>", "eos_token": "</s>", "pad_token": "<pad>"})
    config = tf.MambaConfig(
        vocab_size=len(made),
        hidden_size=32,
        state_size=4,
        num_hidden_layers=2,
        eos_token_id=made.eos_token_id,
    )
    torch.manual_seed(0)
    tf.MambaForCausalLM(config).eval().save_pretrained(tmp_path / "mamba")
    made.save_pretrained(tmp_path / "mamba")
    settings = small_settings("embedded", str(tmp_path / "mamba"), lora={"targets": ["x_proj"]})
    settings = settings.model_copy(update={"stage_b": settings.stage_b.model_copy(update={"steps": 0})})
    pipeline = learn(settings).taught
    found = insight(pipeline, ASK, TEXT)
    assert MISSING in found.attention_missing and "mamba" in found.attention_missing
    assert found.answer == pipeline.answer(ASK, TEXT)
