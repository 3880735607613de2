"""Build the embedded decoder: a small Llama that was taught English only.

Run by ``make tiny`` (``python -m llink_ray.tools.embedded_models``). It learns to follow the
instructions of the phrasebook on the English side of its ``build`` part and to gather a sentence at
the read-out token ``<foreign_emb>``, which stands in for what pre-training gives a large model. It
never meets the foreign scripts, so its tokenizer shatters them, like the real thing.

It also learns to answer about one sentence of several. Left to itself it does not find out how: that
takes words that know which sentence they stand in and an answer that knows which is asked about, and
neither helps without the other. So a probe asks for both of them while it learns, and then goes.
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

from llink_ray.corpus import phrasebook
from llink_ray.corpus.pair import Pair
from llink_ray.prompts.instructions import PLACE, TRANSLATE
from llink_ray.prompts.message import SENTENCE_NUMBER
from llink_ray.tools.conversations import MOST, Conversation, Conversations, Numbers, tokenise

CHAT_TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}"
    "<|{{ message['role'] }}|>{{ message['content'] }}<|end|>{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
SPECIAL = ["<pad>", "<s>", "<|end|>", "<|user|>", "<|assistant|>", "<|system|>", "<foreign_emb>"]


_PIECES = r" ?\[\d+\]| ?Sentence \d+:|'(?:[sdmt]|ll|ve|re)| ?\p{L}+|\d| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
"""Tokens stay within one of these: GPT-2's words, single digits, and numbers of sentences as a whole."""


@dataclass(frozen=True)
class DecoderRecipe:
    """How the embedded decoder is made."""

    vocabulary: int = 1_024
    hidden: int = 192
    layers: int = 4
    heads: int = 6
    feed_forward: int = 512
    pairs_per_language: int = 12_000
    steps: int = 2_500
    singles: int = 12
    """Conversations about one sentence, in one step."""
    passages: int = 10
    """And about several."""
    turns: int = 6
    """Questions in one conversation."""
    learning_rate: float = 8e-3
    """Peak, of Muon, which trains the matrices within the layers."""
    adamw_share: float = 0.375
    """Learning rate of AdamW, which trains the rest, as a share of Muon's."""
    gather_share: float = 0.5
    """Share of the single sentences that are also gathered at the read-out token."""
    translate_share: float = 0.15
    """Share of the questions that ask for a translation, which here is a copy."""
    longer: float = 0.3
    """Share of the steps in which passages grow from two sentences to :data:`MOST`."""
    probed: int = 2
    """Layer whose states the probe reads."""
    probe_weight: float = 0.5
    """Of the loss that numbers of sentences can be read from these states."""
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
            pre_tokenizers.Split(Regex(_PIECES), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
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
    # Often enough that each number of a sentence is one token.
    numbers = [
        f"{PLACE.format(number=n, instruction='')} {SENTENCE_NUMBER.format(number=n)}" for n in range(1, 17)
    ]
    tokenizer = train_tokenizer(
        (t for source in (corpus, instructions * 2, TRANSLATE, numbers * 1_000) for t in source),
        recipe.vocabulary,
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
    teach(model, tokenizer, pairs, recipe, log_every)
    return model.eval(), tokenizer


def optimizers(
    model: LlamaForCausalLM, probe: torch.nn.Linear, recipe: DecoderRecipe
) -> list[torch.optim.Optimizer]:
    """Muon for the matrices within the layers, which learns this several times faster; AdamW for the rest."""
    matrices = [p for p in model.model.layers.parameters() if p.ndim == 2]
    others = [p for p in model.parameters() if not any(p is m for m in matrices)]
    return [
        torch.optim.Muon(
            matrices, lr=recipe.learning_rate, weight_decay=0.02, adjust_lr_fn="match_rms_adamw"
        ),
        torch.optim.AdamW(
            [*others, *probe.parameters()],
            lr=recipe.adamw_share * recipe.learning_rate,
            betas=(0.9, 0.98),
            weight_decay=0.02,
        ),
    ]


def teach(
    model: LlamaForCausalLM,
    tokenizer: PreTrainedTokenizerFast,
    pairs: list[Pair],
    recipe: DecoderRecipe,
    log_every: int,
) -> None:
    """Train answers, the gathering at the read-out token, and a little plain reading."""
    probe = torch.nn.Linear(recipe.hidden, MOST + 1)
    trained = optimizers(model, probe, recipe)

    def rate(step: int) -> float:
        """Linear warm-up, then linearly to nothing."""
        warm = 0.05 * recipe.steps
        return (step + 1) / warm if step + 1 < warm else 1 - step / recipe.steps

    schedules = [torch.optim.lr_scheduler.LambdaLR(o, rate) for o in trained]
    rng = random.Random(f"{recipe.seed}:phase 1")  # as the shipped weights were drawn
    source, numbers = Conversations(pairs, recipe.translate_share, rng), Numbers(tokenizer)
    started = time.monotonic()
    for step in range(1, recipe.steps + 1):
        grown = step / (recipe.longer * recipe.steps)
        length = rng.randint(2, min(MOST, 2 + int(grown * (MOST - 1))))
        alone = [source.draw(1, recipe.turns) for _ in range(recipe.singles)]
        several = [source.draw(length, recipe.turns) for _ in range(recipe.passages)]
        gathered = gather_loss(
            model, tokenizer, [c.sentences[0] for c in alone[: int(recipe.gather_share * len(alone))]]
        )
        about_one, _ = conversation_loss(model, probe, tokenizer, numbers, alone, recipe.probed)
        about_several, probed = conversation_loss(model, probe, tokenizer, numbers, several, recipe.probed)
        loss = 0.5 * (about_one + about_several) + 0.15 * gathered + 0.5 * recipe.probe_weight * probed
        for optimizer in trained:
            optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for optimizer, schedule in zip(trained, schedules, strict=True):
            optimizer.step()
            schedule.step()
        if step % log_every == 0 or step == recipe.steps:
            losses = f"one sentence {about_one:.3f} one of {length} {about_several:.3f}"
            losses += f" number {probed:.3f} gather {gathered:.3f}"
            print(f"decoder step {step}: {losses} {time.monotonic() - started:.0f} s", flush=True)


def conversation_loss(
    model: LlamaForCausalLM,
    probe: torch.nn.Linear,
    tokenizer: PreTrainedTokenizerFast,
    numbers: Numbers,
    batch: list[Conversation],
    probed: int,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Cross-entropy of the answers, with a little of reading; and the probe's, of the sentences' numbers."""
    rows = [tokenise(tokenizer, conversation.turns) for conversation in batch]
    ids, labels = collate(rows, tokenizer.pad_token_id)
    mask = (ids != tokenizer.pad_token_id).long()
    states = model.model(input_ids=ids, attention_mask=mask, output_hidden_states=True)
    hidden = states.last_hidden_state[:, :-1]  # (B, T-1, d)
    told = labels[:, 1:] != -100  # (B, T-1)
    answered = F.cross_entropy(model.lm_head(hidden[told]), labels[:, 1:][told])
    # A little of the reading loss keeps the embeddings of all words alive.
    reads = (mask[:, 1:] == 1) & ~told
    read = F.cross_entropy(model.lm_head(hidden[reads]), ids[:, 1:][reads])
    about = torch.zeros_like(ids)  # (B, T)
    for i, (row, _) in enumerate(rows):
        about[i, : len(row)] = torch.tensor(numbers.of(row))
    asked = about > 0
    if not asked.any():
        return answered + 0.1 * read, answered.new_zeros(())
    guessed = probe(states.hidden_states[probed][asked])  # (tokens, MOST + 1)
    return answered + 0.1 * read, F.cross_entropy(guessed, about[asked])


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
