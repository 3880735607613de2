"""A tiny decoder as a GGUF file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

CHAT = "{% for m in messages %}<|in|>{{ m['content'] }}<|out|>{% endfor %}"
BPE = ["<|end|>", "<|in|>", "<|out|>", *"0123456789abcdefghijklmnopqrstuvwxyz?.Ġ", "ĠĠ", "12", "at", "cat"]


def gguf_file(path: Path, quantised: bool = True, **changes: Any) -> Any:
    """Write a random Llama as GGUF; the model itself. ``changes`` are fields, by their part after the dot."""
    import torch
    from gguf import GGMLQuantizationType, GGUFWriter, quants
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    config = LlamaConfig(
        hidden_size=64,
        intermediate_size=96,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        vocab_size=len(BPE),
        max_position_embeddings=128,
        tie_word_embeddings=True,
        rms_norm_eps=1e-5,
        bos_token_id=1,
        eos_token_id=2,
        pad_token_id=2,
    )
    model = LlamaForCausalLM(config).eval()
    writer = GGUFWriter(path, "llama")
    writer.add_block_count(2)
    writer.add_context_length(128)
    writer.add_embedding_length(64)
    writer.add_feed_forward_length(96)
    writer.add_head_count(4)
    writer.add_head_count_kv(2)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_freq_base(10_000.0)
    writer.add_vocab_size(len(BPE))
    writer.add_tokenizer_model(changes.get("model", "gpt2"))
    writer.add_tokenizer_pre(changes.get("pre", "smollm"))
    writer.add_token_list(BPE)
    writer.add_token_types([3, 3, 3] + [1] * (len(BPE) - 3))
    writer.add_token_merges(["Ġ Ġ", "1 2", "a t", "c at"])
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_unk_token_id(0)
    writer.add_pad_token_id(2)
    writer.add_chat_template(CHAT)
    for name, weight in model.state_dict().items():
        if name == "lm_head.weight":  # tied
            continue
        for long, short in (("q_proj", 4), ("k_proj", 2)):  # GGUF turns rotary halves into neighbours
            if long in name:
                weight = weight.reshape(short, 2, -1, weight.shape[1]).swapaxes(1, 2).reshape(weight.shape)
        values, kind = weight.numpy(), GGMLQuantizationType.F32
        if quantised and name == "model.embed_tokens.weight":
            kind = GGMLQuantizationType.Q8_0
        elif quantised and values.ndim == 2:
            kind = GGMLQuantizationType.Q4_1
        writer.add_tensor(gguf_name(name), quants.quantize(values, kind), raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return model


def gguf_name(name: str) -> str:
    """llama.cpp's name of one of Llama's tensors."""
    for long, short in {
        "model.embed_tokens": "token_embd",
        "model.norm": "output_norm",
        "model.layers": "blk",
        "input_layernorm": "attn_norm",
        "post_attention_layernorm": "ffn_norm",
        "self_attn.o_proj": "attn_output",
        "self_attn.": "attn_",
        "mlp.": "ffn_",
        "_proj": "",
    }.items():
        name = name.replace(long, short)
    return name
