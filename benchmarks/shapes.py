"""Model directories with the shapes of the paper's models and random weights, for timing alone.

XLM-R base reads, Llama-3.2-1B speaks; the vocabularies are the embedded models', as a lookup costs nothing.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import torch
from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM, XLMRobertaConfig, XLMRobertaModel

from llink_ray.models.locate import locate

# arXiv 2510.27254, section 4; shapes from the models' published configurations.
XLM_R_BASE = {
    "hidden_size": 768,
    "intermediate_size": 3_072,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "max_position_embeddings": 514,
}
LLAMA_1B = {
    "hidden_size": 2_048,
    "intermediate_size": 8_192,
    "num_hidden_layers": 16,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "head_dim": 64,
    "tie_word_embeddings": True,
}


def write_encoder(folder: Path) -> Path:
    """A plain transformer directory; it wants ``pooling: mean``."""
    tokenizer = AutoTokenizer.from_pretrained(locate("embedded", "encoder"))
    torch.manual_seed(0)
    config = XLMRobertaConfig(
        vocab_size=len(tokenizer), pad_token_id=tokenizer.pad_token_id, type_vocab_size=1, **XLM_R_BASE
    )
    XLMRobertaModel(config, add_pooling_layer=False).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def write_decoder(folder: Path) -> Path:
    """A causal model's directory, in bfloat16 on disk; loaded in float32 unless told otherwise."""
    source = Path(locate("embedded", "decoder"))
    tokenizer = AutoTokenizer.from_pretrained(source)
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        **LLAMA_1B,
    )
    LlamaForCausalLM(config).to(torch.bfloat16).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    for name in ("chat_template.jinja", "generation_config.json"):
        shutil.copy(source / name, folder / name)
    return folder
