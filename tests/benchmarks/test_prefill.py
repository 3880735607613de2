from __future__ import annotations

import json
from collections.abc import Callable
from types import ModuleType

import pytest
import torch

from llink_ray.corpus.pair import TRANSLATION_KIND
from llink_ray.prompts.instructions import Example
from llink_ray.settings import configure
from llink_ray.text.languages import find

SMALL = ["--set", "corpus.pairs=300", "--set", "evaluation.answers=10", "--set", "evaluation.translations=6"]


@pytest.fixture
def prefill(script: Callable[[str], ModuleType]) -> ModuleType:
    return script("prefill")


def test_both_ways_end_with_the_first_tokens_logits(prefill: ModuleType) -> None:
    settings = configure.resolve(configure.preset("tiny"), {"lora": {"dropout": 0.0}})
    bench = prefill.Bench(settings)
    texts = [("Where?", "ཟམ་པ"), ("Who is it?", "ཆུང་ཆུང་༦༨༣༦ ཡོད")]
    examples = [Example(TRANSLATION_KIND, asked, text, "", "", 0) for asked, text in texts]
    language = find("bo")
    with torch.inference_mode():
        for way in (bench.raw, bench.slots):
            both = way(examples, language)
            assert both.shape == (2, len(bench.decoder.tokenizer))
            alone = torch.cat([way([example], language) for example in examples])
            torch.testing.assert_close(both, alone, atol=1e-4, rtol=1e-4)
    # Raw is what the untouched decoder makes of the same ids.
    ids = torch.tensor([bench.decoder.prompt_builder.text_prompt(*texts[0])])
    with torch.inference_mode(), prefill.without_adapters(bench.model):
        own = bench.decoder.model(ids).logits[:, -1]
        torch.testing.assert_close(bench.raw(examples[:1], language), own, atol=1e-4, rtol=1e-4)


def test_batches_hold_texts_of_like_length(prefill: ModuleType) -> None:
    examples = [Example(TRANSLATION_KIND, "", "x" * n, "", "", 0) for n in (5, 1, 4, 2, 6, 3)]
    found = prefill.batches(examples, 2, 2)
    assert [[len(e.foreign) for e in batch] for batch in found] == [[2, 3], [4, 5]]
    with pytest.raises(prefill.LlinkError, match="only 6 questions"):
        prefill.batches(examples, 7, 1)


def test_the_command_tells_medians_and_ratios(
    prefill: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    threads = torch.get_num_threads()
    asked = [
        "--lang",
        "am",
        "--batch-size",
        "1",
        "--batch-size",
        "4",
        "--turns",
        "2",
        "--threads",
        str(threads),
    ]
    assert prefill.main([*asked, *SMALL]) == 0
    out, err = capsys.readouterr()
    rows = json.loads(out)["rows"]
    assert [(row["language"], row["batch_size"]) for row in rows] == [("am", 1), ("am", 4)]
    for row in rows:
        assert 0 < row["making_ms"] < row["slots_ms"]
        assert row["ratio"] > 0 and row["cpu_ratio"] > 0
        assert f"| {row['ratio']:.2f} | {row['cpu_ratio']:.2f} |" in err
    with pytest.raises(SystemExit):
        prefill.main(["--turns", "0"])
