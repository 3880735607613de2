"""Random models of several families, made on the spot, and a training of both stages in one process."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from llink_ray.bundles.bundle import write_bundle
from llink_ray.bundles.manifest import BundleInfo, ModelInfo, SlotsInfo, package_versions
from llink_ray.bundles.pipeline import LlinkPipeline, save_weights
from llink_ray.corpus.pair import Pair, Question
from llink_ray.features import Features, RaggedRows, ShardedRows
from llink_ray.models.decoder import Decoder
from llink_ray.models.encoder import Encoded, Encoder
from llink_ray.models.llink import LlinkModel, new_slots, with_lora
from llink_ray.models.novelty import NoveltyDetector
from llink_ray.models.projector import Projector
from llink_ray.settings import Settings
from llink_ray.settings.configure import resolve
from llink_ray.training.alignment_data import AlignmentData
from llink_ray.training.examples import ExampleSource, sentence_numbers
from llink_ray.training.stage_a import StageA
from llink_ray.training.stage_b import Objective, PlainEngine, StageB, parameter_groups
from llink_ray.training.telemetry import to_floats

CHAT = (
    "{{ bos_token or '' }}"
    "{% for m in messages %}<|{{ m['role'] }}|>{{ m['content'] | trim }}<|over|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
"""A chat format in the manner of Zephyr and Llama 3: trimmed content, an end mark, then a newline."""

TEXTS = [
    "Where did the farmer sell 30 horses on Monday? At the old market, near the river.",
    "Translate this into English. What does this say in English? How many? Who? Summarise it.",
    "The teacher bought 1,205 red apples for 7 children; nobody knew why.",
]
SIZE: dict[str, Any] = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "max_position_embeddings": 512,
}


def tokenizer(
    specials: dict[str, str], extra: tuple[str, ...] = (), chat: str | None = None, vocabulary: int = 400
) -> Any:
    """A byte-level BPE trained on ``TEXTS``."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=list(dict.fromkeys([*specials.values(), *extra])),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    backend.train_from_iterator(TEXTS, trainer)
    made = PreTrainedTokenizerFast(
        tokenizer_object=backend, **specials, extra_special_tokens=list(extra), model_max_length=512
    )
    made.chat_template = chat
    return made


def _family(name: str) -> tuple[type, type, dict[str, Any], Any]:
    """Model class, config class, size, tokenizer."""
    import transformers as tf

    if name == "qwen2":  # grouped heads, a chat format, no begin token, end of turn is not end of text
        made = tokenizer(
            {"eos_token": "<|over|>", "pad_token": "<pad>"}, ("<|user|>", "<|assistant|>"), chat=CHAT
        )
        return tf.Qwen2ForCausalLM, tf.Qwen2Config, SIZE | {"num_key_value_heads": 2}, made
    if name == "gpt-neox":  # no chat format, one special token for everything, no pad; untied output
        return (
            tf.GPTNeoXForCausalLM,
            tf.GPTNeoXConfig,
            SIZE | {"tie_word_embeddings": False},
            tokenizer({"bos_token": "<|endoftext|>", "eos_token": "<|endoftext|>"}),
        )
    if name == "gemma":  # scaled embeddings, one key-value head, a begin token, the read-out token
        made = tokenizer(
            {"bos_token": "<bos>", "eos_token": "<eos>", "pad_token": "<pad>"},
            ("<|user|>", "<|assistant|>", "<|over|>", "<foreign_emb>"),
            chat=CHAT,
        )
        return tf.GemmaForCausalLM, tf.GemmaConfig, SIZE | {"num_key_value_heads": 1, "head_dim": 8}, made
    if name == "gpt2":  # learned absolute positions, transposed layers, text tokens for its roles
        size = {"n_embd": 32, "n_inner": 64, "n_layer": 2, "n_head": 4, "n_positions": 512}
        still = {"resid_pdrop": 0.0, "embd_pdrop": 0.0, "attn_pdrop": 0.0}
        made = tokenizer({"bos_token": "<|endoftext|>", "eos_token": "<|endoftext|>", "pad_token": "<pad>"})
        return tf.GPT2LMHeadModel, tf.GPT2Config, size | still, made
    raise KeyError(name)


FAMILIES = ("qwen2", "gpt-neox", "gemma", "gpt2")


def write_decoder(folder: Path, family: str) -> Path:
    """A random decoder of ``family`` as a transformers directory."""
    torch.manual_seed(0)
    model_class, config_class, size, made = _family(family)
    config = config_class(
        **size,
        vocab_size=len(made),
        bos_token_id=made.bos_token_id,
        eos_token_id=made.eos_token_id,
        pad_token_id=made.pad_token_id,
        initializer_range=0.2,
    )
    model = model_class(config).eval()
    model.save_pretrained(folder)
    made.save_pretrained(folder)
    return folder


def write_bert(folder: Path, words: tuple[str, ...] = ("ཁྱི", "ར", "ང", "farmer", "##s", "30")) -> Path:
    """A random BERT with WordPiece as a plain transformers directory: nothing says how to pool it."""
    import transformers as tf

    torch.manual_seed(1)
    folder.mkdir(parents=True, exist_ok=True)
    letters = [chr(c) for c in (*range(0x61, 0x7B), *range(0x30, 0x3A), *range(0x0F20, 0x0F2A))]
    special = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
    vocabulary = dict.fromkeys([*special, *words, *letters, *("##" + letter for letter in letters)])
    made = tf.BertTokenizer(vocab={token: i for i, token in enumerate(vocabulary)})
    config = tf.BertConfig(
        **(SIZE | {"hidden_size": 24, "max_position_embeddings": 64}),
        vocab_size=len(made),
        pad_token_id=made.pad_token_id,
        initializer_range=0.3,
    )
    tf.BertModel(config).eval().save_pretrained(folder)
    made.save_pretrained(folder)
    return folder


def write_sentence_bert(folder: Path, bert: Path) -> Path:
    """The same as a sentence-transformers directory: pooling and normalisation named in it."""
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Normalize, Pooling, Transformer

    transformer = Transformer(str(bert))
    pooling = Pooling(transformer.get_embedding_dimension(), "mean")
    SentenceTransformer(modules=[transformer, pooling, Normalize()], device="cpu").save(str(folder))
    return folder


WHO = Question("who", "Who sold the apples?", "the farmer")
PAIRS = [
    Pair(
        f"ཁྱི {'ར ང ' * (n % 5)}{n}",
        f"The farmer sold {n} red apples{' at the old market near the river' * (n % 3)}.",
        (Question("how_many", "How many apples?", str(n)), WHO),
    )
    for n in range(24)
]
"""Made-up pairs of many lengths with questions, in letters that every encoder here knows something of."""


def small_settings(encoder_model: str, decoder_model: str, **changes: Any) -> Settings:
    """Settings of a training that takes a second."""
    base: dict[str, Any] = {
        "encoder": {"model": encoder_model},
        "decoder": {"model": decoder_model},
        "projector": {"hidden": 32, "dropout": 0.0},
        "slots": {"count": 3, "heads": 2, "layers": 1},
        "lora": {"rank": 4, "dropout": 0.0},
        "stage_a": {"steps": 5, "batch_size": 8, "warmup_steps": 0, "queue": 32, "hard_negatives": 4},
        "stage_b": {
            "steps": 5,
            "batch_size": 24,
            "warmup_fraction": 0.0,
            "lora_learning_rate": 1e-2,
            "slot_learning_rate": 1e-2,
        },
        "evaluation": {"batch_size": 16, "max_new_tokens": 8},
    }
    return resolve(base, changes)


@dataclass(frozen=True)
class Lesson:
    """A short training of both stages in this process, as a person would write it in a notebook."""

    taught: LlinkPipeline
    teacher: torch.Tensor
    """(N, d_dec) of the pairs' English."""
    stage_a: list[dict[str, float]]
    stage_b: list[dict[str, float]]


def learn(settings: Settings, pairs: Sequence[Pair] = PAIRS) -> Lesson:
    """Both stages on ``pairs`` without Ray or DeepSpeed."""
    torch.manual_seed(0)
    encoder, decoder = Encoder.load(settings.encoder), Decoder.load(settings.decoder)
    encoded = encoder.encode([pair.foreign for pair in pairs], with_tokens=True)
    teacher = decoder.teacher_states([pair.english for pair in pairs])
    projector = Projector(encoder.dim, decoder.dim, settings.projector)
    projector.fit_normalisation(encoded.vectors)
    data = AlignmentData(encoded.vectors, teacher, sentence_numbers(pairs))
    first = StageA(projector, data, settings.stage_a, settings.seed)
    stage_a = [to_floats(first.advance()) for _ in range(settings.stage_a.steps)]

    slots = new_slots(decoder, settings, encoder.token_dim)
    model = LlinkModel(with_lora(decoder.model, settings.lora), projector, slots)
    source = ExampleSource(
        list(pairs), decoder.prompt_builder, settings.stage_b, settings.slots, settings.seed, None
    )
    optimizer = torch.optim.AdamW(parameter_groups(model, settings.stage_b))
    engine = PlainEngine(Objective(model, settings.stage_b), optimizer, settings.stage_b.clip)
    second = StageB(
        engine, optimizer, source, in_memory(encoded), teacher, settings.stage_b, torch.device("cpu")
    )
    stage_b = [to_floats(second.advance()) for _ in range(settings.stage_b.steps)]
    return Lesson(LlinkPipeline(encoder, decoder, model, settings, "bo"), teacher, stage_a, stage_b)


def in_memory(encoded: Encoded) -> Features:
    """An encoder's output as the feature store would give it back."""
    assert encoded.tokens is not None and encoded.mask is not None
    flat = encoded.tokens[encoded.mask].numpy()
    offsets = np.concatenate([[0], encoded.mask.sum(1).cumsum(0).numpy()])
    tokens = RaggedRows([(flat, offsets)])
    return Features("", "", ShardedRows([encoded.vectors.numpy()]), tokens)


def write_taught(
    path: Path, taught: LlinkPipeline, novelty: NoveltyDetector | None = None, **changes: Any
) -> Path:
    """A bundle of a short training; ``novelty`` says what text it was trained on."""
    settings, model = taught.settings, taught.model
    fields: dict[str, Any] = {
        "language": taught.language,
        "encoder": ModelInfo(
            id=settings.encoder.model, fingerprint=taught.encoder.fingerprint, hidden_size=taught.encoder.dim
        ),
        "decoder": ModelInfo(
            id=settings.decoder.model, fingerprint=taught.decoder.fingerprint, hidden_size=taught.decoder.dim
        ),
        "slots": SlotsInfo(count=3, variant=settings.slots.variant, numerals=settings.slots.numerals),
        "settings": settings.model_dump(mode="json"),
        "corpus_hash": "c0ffee",
        "seed": 0,
        "packages": package_versions(),
        "normalisation": taught.normalisation,
    }

    def fill(folder: Path) -> None:
        save_weights(folder, model.projector, model.slots, model.decoder)
        (folder / "metrics.json").write_text("{}")
        (folder / "README.md").write_text("A test's bundle.")
        if novelty is not None:
            novelty.save(folder)

    return write_bundle(path, BundleInfo(**fields | changes), fill)


_FORMER_NAMES = {
    "delimiters": "marks",
    "token_projection": "into",
    "blocks": "readers",
    "query_norm": "before_look",
    "out_proj": "look",
    "mlp_norm": "before_thought",
    "mlp": "thought",
}
"""Names of tensors now and in bundles of format version 1."""


def former_names(tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Tensors by the names that they had."""
    return {
        ".".join(_FORMER_NAMES.get(part, part) for part in name.split(".")): t for name, t in tensors.items()
    }
