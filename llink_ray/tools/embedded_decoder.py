"""Builds the embedded decoder: a small Llama trained on English alone.

Run by ``make tiny`` (``python -m llink_ray.tools.embedded_models``). It learns the instructions of the
phrasebooks on the English side of their ``build`` part, and to gather a sentence at the read-out token
``<foreign_emb>``, as pre-training does for a large model. It never sees the foreign scripts, so its tokenizer
splits them into bytes, as that of a large English model does.

It also learns to answer about one sentence of several. Without help it does not: each token has to carry the
number of its sentence and the answer the number that is asked about, and neither helps alone. So a probe
predicts both from the hidden states while it trains, and is then dropped.
"""

from __future__ import annotations

import random
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from torch.nn import functional as F
from torch.nn.utils.rnn import pad_sequence
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from llink_ray.corpus import phrasebook
from llink_ray.corpus.pair import Pair
from llink_ray.prompts.instructions import PASSAGE_QUESTION, TRANSLATION_INSTRUCTIONS
from llink_ray.prompts.message import SENTENCE_NUMBER
from llink_ray.tools.dialogues import MAX_SENTENCES, Dialogue, DialogueSampler, SentenceNumbers, tokenise

CHAT_TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}"
    "<|{{ message['role'] }}|>{{ message['content'] }}<|end|>{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
SPECIAL = ["<pad>", "<s>", "<|end|>", "<|user|>", "<|assistant|>", "<|system|>", "<foreign_emb>"]


_PRETOKENS = r" ?\[\d+\]| ?Sentence \d+:|'(?:[sdmt]|ll|ve|re)| ?\p{L}+|\d| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
"""No token crosses these: GPT-2's words, single digits, and numbers of sentences as a whole."""


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
    """Dialogues about one sentence in each step."""
    passages: int = 10
    """Dialogues about several sentences in each step."""
    turns: int = 6
    """Questions in one dialogue."""
    learning_rate: float = 8e-3
    """Peak, of Muon, which trains the matrices within the layers."""
    adamw_share: float = 0.375
    """Learning rate of AdamW, which trains the rest, as a share of Muon's."""
    gather_share: float = 0.5
    """Share of the single sentences that are also gathered at the read-out token."""
    translate_share: float = 0.15
    """Share of the questions that ask for a translation, which here is a copy."""
    growth_share: float = 0.3
    """Share of the steps in which passages grow from two sentences to :data:`MAX_SENTENCES`."""
    probe_layer: int = 2
    """Layer whose states the probe reads."""
    probe_weight: float = 0.5
    """Weight of the probe's loss."""
    seed: int = 1


def english_pairs(count: int, seed: int) -> list[Pair]:
    """Sentences of part ``build`` of every embedded language (their personal names differ)."""
    pairs = [p for code in phrasebook.languages() for p in phrasebook.pairs(code, count, seed, "build")]
    random.Random(seed).shuffle(pairs)
    return pairs


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
            pre_tokenizers.Split(Regex(_PRETOKENS), "isolated"),
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
    ids = padded(rows, tokenizer.pad_token_id)  # (B, T)
    targets = torch.zeros(len(rows), model.config.vocab_size)  # (B, V)
    for i, row in enumerate(rows):
        targets[i].scatter_(0, torch.tensor(row[:-1]), 1.0)
    last = torch.tensor([len(row) - 1 for row in rows])
    hidden = model.model(input_ids=ids, attention_mask=(ids != tokenizer.pad_token_id).long())[0]
    logits = model.lm_head(hidden[torch.arange(len(rows)), last])  # (B, V)
    return F.cross_entropy(logits, targets / targets.sum(-1, keepdim=True))


def train(recipe: DecoderRecipe, log_every: int = 100) -> tuple[LlamaForCausalLM, PreTrainedTokenizerFast]:
    """Train from nothing; float32 on the CPU."""
    torch.manual_seed(recipe.seed)
    pairs = english_pairs(recipe.pairs_per_language, recipe.seed)
    instructions = [q.instruction for p in pairs[:2_000] for q in p.questions]
    corpus = (text for p in pairs[:20_000] for text in (p.english, *(q.answer for q in p.questions)))
    # Repeated below so often that each number of a sentence becomes one token.
    numbers = [
        f"{PASSAGE_QUESTION.format(number=n, instruction='')} {SENTENCE_NUMBER.format(number=n)}"
        for n in range(1, 17)
    ]
    tokenizer = train_tokenizer(
        (
            t
            for source in (corpus, instructions * 2, TRANSLATION_INSTRUCTIONS, numbers * 1_000)
            for t in source
        ),
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
    train_model(model, tokenizer, pairs, recipe, log_every)
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


def train_model(
    model: LlamaForCausalLM,
    tokenizer: PreTrainedTokenizerFast,
    pairs: list[Pair],
    recipe: DecoderRecipe,
    log_every: int,
) -> None:
    """Train answers, the gathering at the read-out token, and a little language modelling."""
    probe = torch.nn.Linear(recipe.hidden, MAX_SENTENCES + 1)
    both = optimizers(model, probe, recipe)

    def rate(step: int) -> float:
        """Linear warm-up, then linearly to 0."""
        warm_up = 0.05 * recipe.steps
        return (step + 1) / warm_up if step + 1 < warm_up else 1 - step / recipe.steps

    schedules = [torch.optim.lr_scheduler.LambdaLR(o, rate) for o in both]
    rng = random.Random(f"{recipe.seed}:phase 1")  # as the shipped weights were drawn
    sampler = DialogueSampler(pairs, recipe.translate_share, rng)
    numbers = SentenceNumbers(tokenizer)
    started = time.monotonic()
    for step in range(1, recipe.steps + 1):
        grown = step / (recipe.growth_share * recipe.steps)
        length = rng.randint(2, min(MAX_SENTENCES, 2 + int(grown * (MAX_SENTENCES - 1))))
        singles = [sampler.sample(1, recipe.turns) for _ in range(recipe.singles)]
        passages = [sampler.sample(length, recipe.turns) for _ in range(recipe.passages)]
        gathered = gather_loss(
            model, tokenizer, [d.sentences[0] for d in singles[: int(recipe.gather_share * len(singles))]]
        )
        single_loss, _ = dialogue_loss(model, probe, tokenizer, numbers, singles, recipe.probe_layer)
        passage_loss, probe_loss = dialogue_loss(
            model, probe, tokenizer, numbers, passages, recipe.probe_layer
        )
        loss = 0.5 * (single_loss + passage_loss) + 0.15 * gathered + 0.5 * recipe.probe_weight * probe_loss
        for optimizer in both:
            optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for optimizer, schedule in zip(both, schedules, strict=True):
            optimizer.step()
            schedule.step()
        if step % log_every == 0 or step == recipe.steps:
            losses = f"one sentence {single_loss:.3f} one of {length} {passage_loss:.3f}"
            losses += f" number {probe_loss:.3f} gather {gathered:.3f}"
            print(f"decoder step {step}: {losses} {time.monotonic() - started:.0f} s", flush=True)


def dialogue_loss(
    model: LlamaForCausalLM,
    probe: torch.nn.Linear,
    tokenizer: PreTrainedTokenizerFast,
    numbers: SentenceNumbers,
    batch: list[Dialogue],
    probe_layer: int,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Cross-entropy of the answers, with a little of all other tokens; and that of the probe."""
    rows = [tokenise(tokenizer, dialogue.turns) for dialogue in batch]
    ids = padded([row for row, _ in rows], tokenizer.pad_token_id)  # (B, T)
    is_answer = padded([flags for _, flags in rows], False)[:, 1:]  # (B, T-1)
    mask = (ids != tokenizer.pad_token_id).long()
    states = model.model(input_ids=ids, attention_mask=mask, output_hidden_states=True)
    hidden = states.last_hidden_state[:, :-1]  # (B, T-1, d)
    answers = F.cross_entropy(model.lm_head(hidden[is_answer]), ids[:, 1:][is_answer])
    # A little loss on the rest keeps the embeddings of all words in use.
    is_rest = (mask[:, 1:] == 1) & ~is_answer
    loss = answers + 0.1 * F.cross_entropy(model.lm_head(hidden[is_rest]), ids[:, 1:][is_rest])
    about = padded([numbers.of(row) for row, _ in rows], 0)  # (B, T)
    numbered = about > 0
    if not numbered.any():
        return loss, loss.new_zeros(())
    logits = probe(states.hidden_states[probe_layer][numbered])  # (tokens, MAX_SENTENCES + 1)
    return loss, F.cross_entropy(logits, about[numbered])


def padded(rows: Sequence[Sequence[int]], pad: int) -> torch.Tensor:
    """(B, T), right-padded."""
    return pad_sequence([torch.tensor(row) for row in rows], batch_first=True, padding_value=pad)


def save(model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, folder: Path) -> None:
    """An ordinary Hugging Face directory, in half precision."""
    model.half().save_pretrained(folder)
    model.float()
    tokenizer.save_pretrained(folder)
