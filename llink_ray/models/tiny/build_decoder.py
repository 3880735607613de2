"""Build the embedded decoder: a small Llama that was taught English only.

Run by ``make tiny`` (``python -m llink_ray.models.tiny.build``). It learns to follow the
instructions of the phrasebook on the English side of its ``build`` part and to gather a sentence at
the read-out token ``<foreign_emb>``, which stands in for what pre-training gives a large model. It
never meets the foreign scripts, so its tokenizer shatters them, like the real thing.
"""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from torch.nn import functional as F
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from llink_ray import phrasebook
from llink_ray.corpus.pair import Pair, Question
from llink_ray.instructions import TRANSLATE

CHAT_TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}"
    "<|{{ message['role'] }}|>{{ message['content'] }}<|end|>{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
SPECIAL = ["<pad>", "<s>", "<|end|>", "<|user|>", "<|assistant|>", "<|system|>", "<foreign_emb>"]


@dataclass(frozen=True)
class Phase:
    """One stretch of training with its own schedule."""

    steps: int
    conversations: int
    """In one step."""
    turns: int
    """Questions asked about a sentence in one conversation."""
    learning_rate: float
    """Peak."""


@dataclass(frozen=True)
class DecoderRecipe:
    """How the embedded decoder is made."""

    vocabulary: int = 1_024
    hidden: int = 192
    layers: int = 4
    heads: int = 6
    feed_forward: int = 512
    pairs_per_language: int = 12_000
    phases: tuple[Phase, ...] = (
        Phase(2_000, 32, 4, 3e-3),
        Phase(400, 64, 1, 1e-3),
        Phase(650, 64, 1, 1.5e-3),
    )
    """Long conversations first, which teach most a second; then single questions, as it will be asked."""
    gather_share: float = 0.25
    """Share of each batch's sentences that are also gathered at the read-out token."""
    seed: int = 1


def english_pairs(count: int, seed: int) -> list[Pair]:
    """Sentences of part ``build`` of every embedded language (their personal names differ)."""
    found = [p for code in phrasebook.languages() for p in phrasebook.pairs(code, count, seed, "build")]
    random.Random(seed).shuffle(found)
    return found


def train_tokenizer(texts: Iterator[str], vocabulary: int) -> PreTrainedTokenizerFast:
    """Byte-level BPE of English; digits stand alone, so numbers are copied digit by digit.

    Text always starts with a space, so that a word is the same token in a sentence and as an answer.
    """
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.Prepend(" "), normalizers.Replace(Regex("^ {2}"), " ")]
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(r"\d"), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=SPECIAL,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token="<s>",  # noqa: S106 - vocabulary entries, not secrets
        eos_token="<|end|>",  # noqa: S106
        pad_token="<pad>",  # noqa: S106
        additional_special_tokens=SPECIAL[3:],
        model_max_length=512,
    )
    fast.chat_template = CHAT_TEMPLATE
    return fast


Turn = tuple[str, str]
"""What the user says, what the assistant answers."""


def conversations(pairs: list[Pair], turns: int, rng: random.Random) -> Iterator[tuple[str, list[Turn]]]:
    """(sentence, turns about it) without end; the first turn shows it. Translating English is copying it."""
    by_kind: dict[str, list[tuple[Pair, Question]]] = {}
    for pair in pairs:
        for question in (Question("translate", rng.choice(TRANSLATE), pair.english), *pair.questions):
            by_kind.setdefault(question.kind, []).append((pair, question))
    kinds = list(by_kind)
    while True:
        # The first question's kind is drawn first, so that rare kinds are asked as often as common ones.
        pair, question = rng.choice(by_kind[rng.choice(kinds)])
        asked = [(question.instruction, question.answer)]
        for _ in range(turns - 1):
            further = rng.choice(pair.questions)
            asked.append((further.instruction, further.answer))
        asked[0] = (f"{asked[0][0]}\n {pair.english}", asked[0][1])  # a space, as in Prompt.raw
        yield pair.english, asked


def tokenise(tokenizer: PreTrainedTokenizerFast, turns: list[Turn]) -> tuple[list[int], list[bool]]:
    """Token ids of a conversation, and which of them the assistant says."""
    asked = tokenizer([f"<|user|>{said}<|end|><|assistant|>" for said, _ in turns])["input_ids"]
    told = tokenizer([f"{answer}<|end|>" for _, answer in turns])["input_ids"]
    ids, says = [tokenizer.bos_token_id], [False]
    for question, answer in zip(asked, told, strict=True):
        ids += question + answer
        says += [False] * len(question) + [True] * len(answer)
    return ids, says


def gather_loss(
    model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, texts: list[str]
) -> torch.Tensor:
    """Cross-entropy of the words of each text, predicted at the read-out token that follows it."""
    read_out = tokenizer.convert_tokens_to_ids("<foreign_emb>")
    rows = [[*ids, read_out] for ids in tokenizer(texts)["input_ids"]]
    length = max(map(len, rows))
    ids = torch.full((len(rows), length), tokenizer.pad_token_id)  # (B, T)
    wanted = torch.zeros(len(rows), model.config.vocab_size)  # (B, V)
    for i, row in enumerate(rows):
        ids[i, : len(row)] = torch.tensor(row)
        wanted[i].scatter_(0, torch.tensor(row[:-1]), 1.0)
    last = torch.tensor([len(row) - 1 for row in rows])
    hidden = model.model(input_ids=ids, attention_mask=(ids != tokenizer.pad_token_id).long())[0]
    logits = model.lm_head(hidden[torch.arange(len(rows)), last])  # (B, V)
    return F.cross_entropy(logits, wanted / wanted.sum(-1, keepdim=True))


def train(recipe: DecoderRecipe, log_every: int = 100) -> tuple[LlamaForCausalLM, PreTrainedTokenizerFast]:
    """Train from nothing; float32 on the CPU."""
    torch.manual_seed(recipe.seed)
    pairs = english_pairs(recipe.pairs_per_language, recipe.seed)
    instructions = [q.instruction for p in pairs[:2_000] for q in p.questions]
    corpus = (text for p in pairs[:20_000] for text in (p.english, *(q.answer for q in p.questions)))
    tokenizer = train_tokenizer(
        (t for source in (corpus, instructions * 2, TRANSLATE) for t in source), recipe.vocabulary
    )
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=recipe.hidden,
        intermediate_size=recipe.feed_forward,
        num_hidden_layers=recipe.layers,
        num_attention_heads=recipe.heads,
        num_key_value_heads=recipe.heads,
        max_position_embeddings=1_024,
        tie_word_embeddings=True,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    model = LlamaForCausalLM(config)
    for number, phase in enumerate(recipe.phases, 1):
        teach(model, tokenizer, pairs, recipe, phase, log_every, f"phase {number}")
    return model.eval(), tokenizer


def teach(
    model: LlamaForCausalLM,
    tokenizer: PreTrainedTokenizerFast,
    pairs: list[Pair],
    recipe: DecoderRecipe,
    phase: Phase,
    log_every: int,
    name: str,
) -> None:
    """Train one phase: answers, the gathering at the read-out token, and a little plain reading."""
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=phase.learning_rate, betas=(0.9, 0.98), weight_decay=0.02
    )
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, phase.learning_rate, phase.steps, pct_start=0.05
    )
    source = conversations(pairs, phase.turns, random.Random(f"{recipe.seed}:{name}"))
    started = time.monotonic()
    for step in range(1, phase.steps + 1):
        batch = [next(source) for _ in range(phase.conversations)]
        ids, labels = collate([tokenise(tokenizer, turns) for _, turns in batch], tokenizer.pad_token_id)
        mask = (ids != tokenizer.pad_token_id).long()
        hidden = model.model(input_ids=ids, attention_mask=mask)[0]  # (B, T, d)
        told = labels[:, 1:] != -100  # (B, T-1)
        answered = F.cross_entropy(model.lm_head(hidden[:, :-1][told]), labels[:, 1:][told])
        texts = [text for text, _ in batch[: int(recipe.gather_share * len(batch))]]
        gathered = gather_loss(model, tokenizer, texts)
        # A little of the reading loss keeps the embeddings of all words alive.
        reads = (mask[:, 1:] == 1) & ~told
        read = F.cross_entropy(model.lm_head(hidden[:, :-1][reads]), ids[:, 1:][reads])
        loss = answered + 0.3 * gathered + 0.1 * read
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        if step % log_every == 0 or step == phase.steps:
            told_losses = f"answer {answered:.4f} gather {gathered:.3f} read {read:.3f}"
            print(f"decoder {name} step {step}: {told_losses} {time.monotonic() - started:.0f} s", flush=True)


def collate(rows: list[tuple[list[int], list[bool]]], pad: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Right-padded ids and labels, both (B, T); labels are -100 where the assistant does not speak."""
    length = max(len(row) for row, _ in rows)
    ids = torch.full((len(rows), length), pad)
    labels = torch.full_like(ids, -100)
    for i, (row, says) in enumerate(rows):
        ids[i, : len(row)] = torch.tensor(row)
        labels[i, : len(row)] = torch.where(torch.tensor(says), ids[i, : len(row)], -100)
    return ids, labels


def save(model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, folder: Path) -> None:
    """An ordinary Hugging Face directory, in half precision."""
    model.half().save_pretrained(folder)
    model.float()
    tokenizer.save_pretrained(folder)
