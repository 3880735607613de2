"""The benchmark of sentence ends: which rows it takes, and what it counts."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from llink_ray.text.languages import DECODER_LANGUAGE, find
from llink_ray.text.segmentation import sentence_ends

EN, KA, AM = DECODER_LANGUAGE, find("ka"), find("am")


@pytest.fixture
def benchmark(script: Callable[[str], ModuleType]) -> ModuleType:
    return script("sentences")


def test_rows_are_chosen_by_their_other_side(benchmark: ModuleType) -> None:
    sides = [
        ("ውሻ አለ።", "There is a dog."),
        ("ውሻ አለ። ድመት አለ።", "There is a dog and a cat."),
        ("ውሻ በ1990 ዓ.ም. ተወለደ።", "The dog was born in 1990."),
        ("ውሻ አለ። ድመት አለ።", "There is a dog. There is a cat."),
        ("ውሻ አለ", "There is a dog"),
    ]
    firsts = [first for first, _ in sides]
    assert benchmark.chosen(sides, AM, EN, "marked") == [firsts[0], firsts[2]]
    assert benchmark.chosen(sides, AM, EN, "all marked") == firsts[:3]
    assert benchmark.chosen(sides, AM, EN, "no mark") == [firsts[4]]
    turned = [(english, first) for first, english in sides]
    assert benchmark.chosen(turned, EN, AM, "marked") == ["There is a dog."]  # ዓ.ም. might be an end


def test_inner_ends_cost_precision_and_missed_ones_recall(benchmark: ModuleType) -> None:
    texts = ["ა დიდი სახლია.", "ბ ძველი. ახალი სახლია."] * 5
    found = benchmark.measured(texts, KA, sentence_ends)
    assert (found.rows, found.recall) == (10, 1.0)
    assert found.precision == pytest.approx(8 / 13)
    assert benchmark.measured(texts, KA, lambda text, _: [len(text)]).recall == 0


@pytest.mark.parametrize("code", ["bo", "my", "lo"])
def test_ends_are_found_in_real_text(benchmark: ModuleType, code: str) -> None:
    data = os.environ.get("LLINK_DATA")
    if not data:
        pytest.skip("LLINK_DATA names no folder of real text")
    pairs = benchmark.rows(Path(data) / "parallel" / f"{code}.tsv")[:1_200]
    turned = [(foreign, english) for english, foreign in pairs]
    for sides, own, other in ((turned, find(code), EN), (pairs, EN, find(code))):
        found = benchmark.measured(benchmark.chosen(sides, own, other, "marked"), own, sentence_ends)
        assert found.precision > 0.97 and found.recall > 0.97, own.name
