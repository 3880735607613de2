"""Builds the embedded encoder: a small multilingual sentence encoder.

Run by ``make tiny``. A weak contrastive loss on the ``build`` part of the phrasebooks draws each sentence to
its English. Saved as a sentence-transformers directory (XLM-R shape, mean pooling).
"""

from __future__ import annotations

import random
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import torch
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from torch.nn import functional as F
from transformers import PreTrainedTokenizerFast, XLMRobertaConfig, XLMRobertaModel

from llink_ray.corpus import phrasebook

SPECIAL = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]

# A letter with its marks and subscript letters, in scripts that put no space between words.
SYLLABLE = r"[\p{Khmer}\p{Myanmar}&&\p{L}](?:[\x{1039}\x{17D2}]\p{L}|\p{M})*"


@dataclass(frozen=True)
class EncoderRecipe:
    """How the embedded encoder is made."""

    vocabulary: int = 5_000
    hidden: int = 192
    layers: int = 2
    heads: int = 6
    feed_forward: int = 512
    pairs_per_language: int = 12_000
    steps: int = 800
    batch_size: int = 96
    learning_rate: float = 2e-3
    temperature: float = 0.07
    seed: int = 2


def train_tokenizer(texts: list[str], vocabulary: int) -> PreTrainedTokenizerFast:
    """Byte-level BPE over all languages: no text is unknown; digits of any script stand alone.

    Pieces end at a space, a Tibetan tsheg, or a syllable of a script without spaces: pieces that cross words
    make one word many, and the slots learn its meaning late (docs/experiments.md, 7 and 8).
    """
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(r"\p{Nd}"), "isolated"),
            pre_tokenizers.Split(Regex(r"[\s་]+"), "merged_with_previous"),
            pre_tokenizers.Split(Regex(SYLLABLE), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=SPECIAL,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        max_token_length=24,
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[(t, tokenizer.token_to_id(t)) for t in ("<s>", "</s>")]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token="<s>",  # noqa: S106 - vocabulary entries, not secrets
        eos_token="</s>",  # noqa: S106
        cls_token="<s>",  # noqa: S106
        sep_token="</s>",  # noqa: S106
        pad_token="<pad>",  # noqa: S106
        unk_token="<unk>",  # noqa: S106
        mask_token="<mask>",  # noqa: S106
        model_max_length=256,
    )


def sentence_vectors(
    model: XLMRobertaModel, tokenizer: PreTrainedTokenizerFast, texts: list[str]
) -> torch.Tensor:
    """Mean-pooled, unit length, (B, d)."""
    batch = tokenizer(texts, padding=True, truncation=True, return_tensors="pt")
    states = model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"])[0]  # (B, T, d)
    mask = batch["attention_mask"][..., None].float()  # (B, T, 1)
    return F.normalize((states * mask).sum(1) / mask.sum(1), dim=-1)


def train(recipe: EncoderRecipe, log_every: int = 100) -> tuple[XLMRobertaModel, PreTrainedTokenizerFast]:
    """Train from nothing; float32 on the CPU."""
    torch.manual_seed(recipe.seed)
    rng = random.Random(recipe.seed)
    pairs = [
        pair
        for code in phrasebook.languages()
        for pair in phrasebook.pairs(code, recipe.pairs_per_language, recipe.seed, "build")
    ]
    rng.shuffle(pairs)
    texts = [text for p in pairs[:16_000] for text in (p.foreign, p.english)]
    tokenizer = train_tokenizer(texts, recipe.vocabulary)
    config = XLMRobertaConfig(
        vocab_size=len(tokenizer),
        hidden_size=recipe.hidden,
        intermediate_size=recipe.feed_forward,
        num_hidden_layers=recipe.layers,
        num_attention_heads=recipe.heads,
        max_position_embeddings=260,
        type_vocab_size=1,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
    )
    model = XLMRobertaModel(config, add_pooling_layer=False)
    optimizer = torch.optim.AdamW(model.parameters(), lr=recipe.learning_rate, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, recipe.learning_rate, recipe.steps, pct_start=0.1
    )
    started = time.monotonic()
    for step in range(1, recipe.steps + 1):
        batch = rng.sample(pairs, recipe.batch_size)
        foreign = sentence_vectors(model, tokenizer, [p.foreign for p in batch])
        english = sentence_vectors(model, tokenizer, [p.english for p in batch])
        logits = foreign @ english.T / recipe.temperature  # (B, B)
        own = torch.arange(len(batch))
        loss = (F.cross_entropy(logits, own) + F.cross_entropy(logits.T, own)) / 2
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        if step % log_every == 0 or step == recipe.steps:
            spent = time.monotonic() - started
            print(f"encoder step {step}: contrastive {loss:.4f} {spent:.0f} s", flush=True)
    return model.eval(), tokenizer


def save(model: XLMRobertaModel, tokenizer: PreTrainedTokenizerFast, folder: Path) -> None:
    """A sentence-transformers directory, in half precision."""
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Pooling, Transformer

    with tempfile.TemporaryDirectory() as plain:
        model.half().save_pretrained(plain)
        tokenizer.save_pretrained(plain)
        transformer = Transformer(plain, model_kwargs={"dtype": torch.float16})
        pooling = Pooling(transformer.get_embedding_dimension(), "mean")
        SentenceTransformer(modules=[transformer, pooling], device="cpu").save(
            str(folder), create_model_card=False
        )
    model.float()
