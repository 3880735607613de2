"""Each loss against its formula, worked here row by row in float64."""

from __future__ import annotations

import math

import pytest
import torch
from torch.nn import functional as F

from llink_ray.training import losses

CLOSE = 1e-6


def draw(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def unit(vector: list[float]) -> list[float]:
    length = math.sqrt(sum(x * x for x in vector))
    return [x / length for x in vector]


def cosine(left: list[float], right: list[float]) -> float:
    return sum(x * y for x, y in zip(unit(left), unit(right), strict=True))


def log_sum_exp(values: list[float]) -> float:
    top = max(values)
    return top + math.log(sum(math.exp(v - top) for v in values))


def contrastive_by_hand(
    queries: torch.Tensor,
    keys: torch.Tensor,
    own: list[int],
    temperature: float,
    negatives: torch.Tensor | None = None,
    ids: list[int] | None = None,
    hardest: int = 0,
) -> float:
    total = 0.0
    for i, query in enumerate(queries.tolist()):
        positive = cosine(query, keys[i].tolist()) / temperature
        rivals = [
            cosine(query, key) / temperature
            for j, key in enumerate(keys.tolist())
            if j != i and own[j] != own[i]
        ]
        if negatives is not None and ids is not None:
            past = [
                cosine(query, row) / temperature
                for row, name in zip(negatives.tolist(), ids, strict=True)
                if name != own[i]
            ]
            rivals += sorted(past, reverse=True)[:hardest]
        total += log_sum_exp([positive, *rivals]) - positive
    return total / len(own)


@pytest.mark.parametrize("temperature", [1.0, 0.07])
@pytest.mark.parametrize("hardest", [0, 1, 3, 9, 50])
@pytest.mark.parametrize("own", [[0, 1, 2, 3, 4], [7, 7, 2, 3, 7]])
def test_contrastive(own: list[int], hardest: int, temperature: float) -> None:
    queries, keys = draw(5, 6), draw(5, 6, seed=1)
    past = torch.nn.functional.normalize(draw(9, 6, seed=2), dim=-1)
    ids = [7, 7, 11, 12, 13, 2, 14, 0, 15]  # the queue has met some of the batch's sentences before
    found = losses.contrastive(
        queries, keys, torch.tensor(own), temperature, past, torch.tensor(ids), hardest=hardest
    )
    expected = contrastive_by_hand(queries, keys, own, temperature, past, ids, hardest)
    assert float(found) == pytest.approx(expected, abs=CLOSE)


def test_contrastive_without_queue() -> None:
    queries, keys, own = draw(4, 3), draw(4, 3, seed=1), [0, 1, 2, 3]
    expected = contrastive_by_hand(queries, keys, own, 0.1)
    empty = (torch.zeros(0, 3, dtype=torch.float64), torch.zeros(0, dtype=torch.long))
    assert float(losses.contrastive(queries, keys, torch.tensor(own), 0.1)) == pytest.approx(expected)
    found = losses.contrastive(queries, keys, torch.tensor(own), 0.1, *empty, hardest=8)
    assert float(found) == pytest.approx(expected)


def test_each_row_takes_its_own_hardest() -> None:
    queries = torch.eye(2, 4, dtype=torch.float64)
    past = torch.eye(4, dtype=torch.float64)  # row 0's hardest is past[0], row 1's is past[1]
    keys, ids = torch.ones(2, 4, dtype=torch.float64), torch.tensor([10, 11, 12, 13])
    found = losses.contrastive(queries, keys, torch.tensor([0, 1]), 1.0, past, ids, hardest=1)
    expected = math.log(math.exp(0.5) + math.exp(0.5) + math.exp(1.0)) - 0.5
    assert float(found) == pytest.approx(expected, abs=CLOSE)


def test_own_sentence_gives_no_gradient_as_a_negative() -> None:
    queries, keys = draw(3, 4), draw(3, 4, seed=1).requires_grad_()
    past = draw(2, 4, seed=2).requires_grad_()
    # Row 1 says the same as row 0, and the queue knows nothing else: row 0 has row 2 alone against it.
    own, ids = torch.tensor([5, 5, 6]), torch.tensor([5, 5])
    losses.contrastive(queries[:1], keys[:1], own[:1], 0.1, past, ids, hardest=2).backward()
    assert past.grad is not None and torch.equal(past.grad, torch.zeros_like(past))
    found = losses.contrastive(queries, keys, own, 0.1)
    assert found.item() == pytest.approx(contrastive_by_hand(queries, keys.detach(), own.tolist(), 0.1))
    assert torch.isfinite(torch.autograd.grad(found, keys)[0]).all()


def test_direction() -> None:
    left, right = draw(5, 7), draw(5, 7, seed=1)
    rows = [
        sum((x - y) ** 2 for x, y in zip(unit(a), unit(b), strict=True))
        for a, b in zip(left.tolist(), right.tolist(), strict=True)
    ]
    assert float(losses.direction(left, right)) == pytest.approx(sum(rows) / 5, abs=CLOSE)
    assert float(losses.direction(left, 3 * left)) == pytest.approx(0, abs=CLOSE)
    assert float(losses.direction(left, -left)) == pytest.approx(4, abs=CLOSE)


def test_norm() -> None:
    left, right = draw(5, 7), draw(5, 7, seed=1)
    gaps = [
        math.log(math.hypot(*a)) - math.log(math.hypot(*b))
        for a, b in zip(left.tolist(), right.tolist(), strict=True)
    ]
    assert float(losses.norm(left, right)) == pytest.approx(sum(g * g for g in gaps) / 5, abs=CLOSE)
    assert float(losses.norm(left, left * math.e)) == pytest.approx(1, abs=CLOSE)
    assert torch.isfinite(losses.norm(torch.zeros_like(left), right))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32, torch.float64])
def test_token_nats_are_the_cross_entropy_in_chunks(
    dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(losses._CHUNK, "cpu", 3 * 11)
    torch.manual_seed(0)
    logits, targets = (4 * torch.randn(8, 11)).to(dtype).requires_grad_(), torch.randint(0, 11, (8,))
    wide = logits.detach().to(torch.promote_types(dtype, torch.float32)).requires_grad_()
    weights = torch.rand(8, dtype=wide.dtype)
    expected = F.cross_entropy(wide, targets, reduction="none")
    found = losses.token_nats(logits, targets)
    torch.testing.assert_close(found, expected)
    (found * weights).sum().backward()
    (expected * weights).sum().backward()
    assert logits.grad is not None and wide.grad is not None and logits.grad.dtype == dtype
    torch.testing.assert_close(logits.grad, wide.grad.to(dtype))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32, torch.float64])
def test_divergence_is_that_of_the_distributions_in_chunks(
    dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(losses._CHUNK, "cpu", 3 * 11)
    torch.manual_seed(0)
    logits, teacher = ((4 * torch.randn(8, 11)).to(dtype) for _ in range(2))
    wide_type = torch.promote_types(dtype, torch.float32)
    wide, expected_by = logits.to(wide_type).requires_grad_(), teacher.to(wide_type).log_softmax(-1)
    weights = torch.rand(8, dtype=wide_type)
    expected = F.kl_div(wide.log_softmax(-1), expected_by, reduction="none", log_target=True).sum(-1)
    found = losses.divergence(logits.requires_grad_(), teacher)
    torch.testing.assert_close(found, expected)
    (found * weights).sum().backward()
    (expected * weights).sum().backward()
    assert logits.grad is not None and wide.grad is not None and logits.grad.dtype == dtype
    torch.testing.assert_close(logits.grad, wide.grad.to(dtype))
    assert losses.divergence(teacher, teacher).abs().max() < 1e-6, "a student that is its teacher"


def test_supervised() -> None:
    logits = draw(3, 6, 5)
    labels = torch.tensor(
        [[-100, -100, -100, 4, 1, 0], [-100, -100, -100, -100, -100, 2], [-100, -100, -100, -100, -100, -100]]
    )
    nats, counts = losses.supervised(logits[losses.predicting(labels)], labels)
    for row in range(3):
        expected = 0.0
        for place in range(1, 6):
            wanted = int(labels[row, place])
            if wanted >= 0:  # said by the position before
                before = logits[row, place - 1].tolist()
                expected += log_sum_exp(before) - before[wanted]
        assert float(nats[row]) == pytest.approx(expected, abs=CLOSE)
    assert counts.tolist() == [3, 1, 0]


def test_usage_rewards_slots_that_help() -> None:
    with_slots = torch.tensor([0.5, 0.5, 2.0, 0.5])
    ablated = torch.tensor([3.0, 1.0, 0.5, 1.5])
    found = losses.usage(with_slots, ablated, margin=1.0)
    assert found.tolist() == [0.0, 0.5, 2.5, 0.0]
    # The better the ablated slots do, the larger the loss; more margin asks for more.
    assert (losses.usage(with_slots, ablated - 1, 1.0) >= found).all()
    assert float(losses.usage(with_slots, ablated - 1, 1.0).sum()) > float(found.sum())
    assert float(losses.usage(with_slots, ablated, 2.0).sum()) > float(found.sum())


def test_usage_pulls_the_loss_with_slots_down() -> None:
    with_slots = torch.tensor([1.0], requires_grad=True)
    losses.usage(with_slots, torch.tensor([1.2]), 1.0).sum().backward()
    assert with_slots.grad is not None and float(with_slots.grad) > 0


def test_words_in_order() -> None:
    logits = draw(3, 2, 6)
    words = torch.tensor([[0, 5, 2, -1], [3, -1, -1, -1], [1, 4, 0, 2]])
    slot_of = [[0, 0, 1], [0], [0, 0, 1, 1]]  # the k-th of two parts of each sentence
    found = losses.words_in_order(logits, words)
    for row, slots in enumerate(slot_of):
        nats = [
            log_sum_exp(logits[row, slot].tolist()) - float(logits[row, slot, words[row, place]])
            for place, slot in enumerate(slots)
        ]
        assert float(found[row]) == pytest.approx(sum(nats) / len(nats), abs=CLOSE)


def test_bag_of_words() -> None:
    logits = draw(3, 4, 6)
    words = torch.tensor([[0, 5, 2], [3, -1, -1], [-1, -1, -1]])
    found = losses.bag_of_words(logits, words)
    for row in range(3):
        slots = logits[row].tolist()
        together = [log_sum_exp([slot[word] for slot in slots]) for word in range(6)]
        whole = log_sum_exp(together)
        wanted = [int(word) for word in words[row] if word >= 0]
        expected = -sum(together[word] - whole for word in wanted) / max(1, len(wanted))
        assert float(found[row]) == pytest.approx(expected, abs=CLOSE)
