"""Stage B's batches: the same examples, however many workers and micro-batches share them."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from typing import Any

import pytest
import torch
from model_zoo import CHAT, tokenizer

from llink_ray.corpus.pair import Pair, Question
from llink_ray.models.llink import IGNORED
from llink_ray.prompts import DELIMITERS, SLOT_ID
from llink_ray.prompts.builder import PromptBuilder
from llink_ray.settings import SlotSettings, StageBSettings
from llink_ray.training.examples import LONGEST_ANSWER, ExampleSource, MicroBatch, sentence_numbers, tokenise

ENGLISH = [f"The farmer sold {n} red apples{' at the old market' * (n % 4)}." for n in range(26)]
WHO = Question("who", "Who?", "the farmer")
PAIRS = [
    Pair(f"མི {n} ཡོད", english, (Question("how_many", "How many?", str(n)), WHO))
    for n, english in enumerate(ENGLISH)
]
SLOTS = SlotSettings(count=3)


@pytest.fixture(scope="module")
def prompt() -> PromptBuilder:
    extra = ("<|user|>", "<|assistant|>")
    return PromptBuilder(tokenizer({"eos_token": "<|over|>", "pad_token": "<pad>"}, extra, chat=CHAT))


def make(
    prompt: PromptBuilder, pairs: list[Pair] = PAIRS, seed: int = 0, **settings: object
) -> ExampleSource:
    return ExampleSource(pairs, prompt, StageBSettings.model_validate(settings), SLOTS, seed, None)


def rows(micros: list[MicroBatch]) -> list[tuple[int, tuple[int, ...], tuple[int, ...]]]:
    """Pair, prompt with answer, and answer alone of each example, without padding."""
    found = []
    for micro in micros:
        for i, pair in enumerate(micro.pairs.tolist()):
            ids = micro.prompts.ids[i][micro.prompts.mask[i].bool()].tolist()
            answer = [label for label in micro.prompts.labels[i].tolist() if label != IGNORED]
            assert ids[-len(answer) :] == answer
            found.append((pair, tuple(ids), tuple(answer)))
    return found


def test_a_batch_of_long_texts_takes_more_forwards(prompt: PromptBuilder) -> None:
    source = make(prompt, batch_size=12, micro_batch_tokens=200)
    steps = [[source.step(step, rank, 2) for rank in (0, 1)] for step in range(8)]
    shapes = [tuple(micro.prompts.ids.shape) for ranks in steps for micros in ranks for micro in micros]
    assert all(rows * width <= 200 or rows == 1 for rows, width in shapes)
    assert all(len(first) == len(second) for first, second in steps)
    assert len({len(first) for first, _ in steps}) > 1


@pytest.mark.parametrize("micro", [None, 2, 3, 4])
@pytest.mark.parametrize("workers", [1, 2, 4])
def test_workers_and_micro_batches_share_one_batch(
    prompt: PromptBuilder, workers: int, micro: int | None
) -> None:
    whole = make(prompt, batch_size=12)
    parted = make(prompt, batch_size=12, micro_batch_size=micro)
    for step in range(4):  # two batches an epoch
        expected = rows(whole.step(step, 0, 1))
        assert len(expected) == 12
        ranks = [parted.step(step, rank, workers) for rank in range(workers)]
        assert [row for micros in ranks for row in rows(micros)] == expected
        assert all(len(micro_.pairs) <= (micro or 12) for micros in ranks for micro_ in micros)


@pytest.mark.parametrize(("workers", "micro"), list(product([1, 2, 3], [None, 1, 4, 5])))
@pytest.mark.parametrize("pairs", [PAIRS, PAIRS[:10]])  # the second makes smaller, uneven batches
def test_scales_make_the_mean_of_the_whole_batch(
    prompt: PromptBuilder, pairs: list[Pair], workers: int, micro: int | None
) -> None:
    # Any loss of a token, an example, a sentence.
    values: dict[str, Callable[[MicroBatch], torch.Tensor]] = {
        "tokens": lambda part: 1 + part.prompts.labels[part.prompts.labels >= 0] % 7,
        "examples": lambda part: 1 + part.prompts.mask.sum(1) % 5,
        "sentences": lambda part: 1 + part.pairs % 3,
    }
    source = make(
        prompt, pairs, batch_size=12, micro_batch_size=micro, passage_share=0.5, passage_sentences=2
    )
    ranks = [source.step(1, rank, workers) for rank in range(workers)]
    for name, value in values.items():
        whole = torch.cat([value(part) for micros in ranks for part in micros]).double()
        losses = []
        for micros in ranks:  # engines average over micro-batches, then over workers
            parts = [float(value(part).sum()) * getattr(part.scales, name) for part in micros]
            losses.append(sum(parts) / len(parts))
        assert sum(losses) / workers == pytest.approx(float(whole.mean()), rel=1e-12), name
    assert len({len(micros) for micros in ranks}) == 1  # or workers would wait for one another for ever


def test_an_epoch_meets_each_example_once_and_epochs_differ(prompt: PromptBuilder) -> None:
    source = make(prompt, batch_size=13, examples_per_pair=2, translate_share=0.5)
    assert source.count == 52
    epochs = [
        [row for step in steps for row in rows(source.step(step, 0, 1))] for steps in (range(4), range(4, 8))
    ]
    for epoch in epochs:
        assert sorted(pair for pair, _, _ in epoch) == sorted([*range(26), *range(26)])
    assert sorted(epochs[0]) != sorted(epochs[1])  # other questions


def test_the_english_of_an_example_stands_before_the_same_answer(prompt: PromptBuilder) -> None:
    given: dict[str, Any] = {"batch_size": 8, "passage_share": 0.5, "passage_sentences": 3}
    assert all(micro.english is None for micro in make(prompt, **given).step(0, 0, 1))
    [micro] = make(prompt, **given, distillation_weight=0.5).step(0, 0, 1)
    assert micro.english is not None and not (micro.english.ids == SLOT_ID).any()
    assert torch.equal(
        micro.english.labels[micro.english.labels != IGNORED],
        micro.prompts.labels[micro.prompts.labels != IGNORED],
    )
    sentence = 0
    for slots, text in zip(micro.prompts.ids, micro.english.ids, strict=True):
        for _ in range(int((slots == SLOT_ID).sum()) // (3 + DELIMITERS)):
            english = prompt.tokenizer.decode(prompt.token_ids(PAIRS[int(micro.pairs[sentence])].english))
            assert english in prompt.tokenizer.decode(text.tolist())
            sentence += 1
    assert sentence == len(micro.pairs)


def test_a_batch_is_a_function_of_its_step(prompt: PromptBuilder) -> None:
    unbroken = [rows(source.step(step, 0, 1)) for source in [make(prompt, batch_size=8)] for step in range(9)]
    for step in (8, 3):
        assert rows(make(prompt, batch_size=8).step(step, 0, 1)) == unbroken[step]
    assert rows(make(prompt, batch_size=8, seed=1).step(3, 0, 1)) != unbroken[3]


def test_a_large_corpus_is_not_tokenised_at_once(prompt: PromptBuilder) -> None:
    """The first batch costs one pool of batches; the epoch is that of a source that read everything."""
    many = [Pair(f"ཀ {n}", f"Number {n}{' and so on' * (n % 5)}.") for n in range(600)]
    source = make(prompt, many, batch_size=4)
    first = rows(source.step(0, 0, 1))
    assert source._example.cache_info().misses == 16 * 4
    backwards = make(prompt, many, batch_size=4)
    for step in reversed(range(150)):
        last = rows(backwards.step(step, 0, 1))
    assert last == first and backwards._example.cache_info().misses == 600, "each example once"


def test_the_same_english_is_the_same_sentence(prompt: PromptBuilder) -> None:
    pairs = [Pair("ཀ", "One."), Pair("ཁ", "Two."), Pair("ག", "One."), Pair("ང", "Three.")]
    assert sentence_numbers(pairs).tolist() == [0, 1, 0, 2]
    [micro] = make(prompt, pairs, batch_size=8, examples_per_pair=2).step(0, 0, 1)
    assert len(micro.pairs) == 8
    assert torch.equal(micro.sentences, torch.tensor([0, 1, 0, 2])[micro.pairs])


def test_examples_as_the_decoder_sees_them(prompt: PromptBuilder) -> None:
    [micro] = make(prompt, batch_size=4, translate_share=0.0).step(0, 0, 1)
    for i, pair in enumerate(micro.pairs.tolist()):
        assert int((micro.prompts.ids[i] == SLOT_ID).sum()) == SLOTS.count + 2
        answer = micro.prompts.labels[i][micro.prompts.labels[i] != IGNORED].tolist()
        assert prompt.tokenizer.decode(answer[:-1]) in {str(pair), "the farmer"}
        assert answer[-1] == prompt.end_id
        words = prompt.tokenizer.decode([word for word in micro.words[i].tolist() if word >= 0])
        assert words == " " + "".join(c for c in ENGLISH[pair] if not c.isdigit())  # digits have their lane


def test_without_a_numerals_lane_the_slots_must_say_the_digits(prompt: PromptBuilder) -> None:
    from llink_ray.prompts.instructions import training_examples

    examples = training_examples(PAIRS, 0, 0, 0.5, 1)
    for example, row in zip(
        examples, tokenise(prompt, examples, SlotSettings(numerals=False), None), strict=True
    ):
        assert [prompt.tokenizer.decode(words) for words in row.words] == [" " + example.english]


def test_a_cut_answer_does_not_teach_to_stop(prompt: PromptBuilder) -> None:
    long = "word " * (LONGEST_ANSWER + 5)
    source = make(prompt, [Pair("ཀ", long), Pair("ཁ", "Short.")], batch_size=2)
    by_pair = {pair: answer for pair, _, answer in rows(source.step(0, 0, 1))}
    assert len(by_pair[0]) == LONGEST_ANSWER and by_pair[0][-1] != prompt.end_id
    assert by_pair[1][-1] == prompt.end_id


def test_tokenise_writes_the_prompt_of_inference(prompt: PromptBuilder) -> None:
    from llink_ray.prompts.instructions import training_examples

    examples = training_examples(PAIRS, 0, 0, 0.5, 1)
    for example, row in zip(examples, tokenise(prompt, examples, SLOTS, None), strict=True):
        assert row.prompt == prompt.slot_prompt(example.instruction, example.foreign, SLOTS)
        assert row.pairs == [example.pair_index]


def test_the_ceiling_reads_the_english(prompt: PromptBuilder) -> None:
    """The same examples in the same batches; the English stands where the foreign text would."""
    none = SlotSettings(variant="none")
    sources = [
        ExampleSource(PAIRS, prompt, StageBSettings(batch_size=26, source=side), none, 0, None)
        for side in ("foreign", "english")
    ]
    foreign, english = (rows(source.step(0, 0, 1)) for source in sources)
    assert sorted((pair, answer) for pair, _, answer in foreign) == sorted(
        (pair, answer) for pair, _, answer in english
    )
    for pair, ids, _ in english:
        text = prompt.tokenizer.decode(ids)
        assert ENGLISH[pair] in text and PAIRS[pair].foreign not in text
