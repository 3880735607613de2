"""Random models of several families, made on the spot: decoders with their tokenizers, encoders, directories."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import torch

CHAT = (
    "{{ bos_token or '' }}{% for m in messages %}<|{{ m['role'] }}|>{{ m['content'] | trim }}<|over|>\n{% endfor %}"
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
    raise KeyError(name)


FAMILIES = ("qwen2", "gpt-neox", "gemma")


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
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *words, *letters, *("##" + c for c in letters)]
    made = tf.BertTokenizer(vocab={token: i for i, token in enumerate(dict.fromkeys(vocabulary))})
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
