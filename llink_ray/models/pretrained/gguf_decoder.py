"""A GGUF file written as an ordinary Hugging Face directory: float32 weights, tokenizer, chat template."""

from __future__ import annotations

import io
import json
from contextlib import redirect_stderr
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llink_ray.errors import JobFailed, LlinkError

if TYPE_CHECKING:
    from gguf import GGUFReader

_CONTROL = 3
"""GGUF's token type of tokens that stand for no text."""
_SPECIAL = {
    "bos_token": "tokenizer.ggml.bos_token_id",
    "eos_token": "tokenizer.ggml.eos_token_id",
    "unk_token": "tokenizer.ggml.unknown_token_id",
    "pad_token": "tokenizer.ggml.padding_token_id",
}
_TRACES = (
    "_name_or_path",
    "_model_name_or_path",
    "_from_model_config",
    "quantization_config",
    "transformers_version",
)
"""Keys that say where and with which version a file was written, and would change its hash."""


def convert(source: Path, folder: Path) -> None:
    """Write the model in ``source`` to ``folder``; the same file gives the same bytes.

    The weights stay what they were rounded to, held as float32: half precision is slower on CPUs and would
    round them once more.

    Raises:
        JobFailed: the file is damaged, or of a kind that cannot be read.
    """
    try:
        fields = _fields(source)
        _save_tokenizer(fields, source, folder)
        _save_model(source, folder)
    except (LlinkError, OSError, MemoryError):
        raise
    except Exception as error:  # the readers of GGUF raise what numpy and torch raise
        first = (str(error).splitlines() or [""])[0][:200]
        raise JobFailed(
            f"{source} cannot be read as GGUF ({type(error).__name__}: {first}): get it again"
        ) from error


def _fields(source: Path) -> dict[str, Any]:
    from gguf import GGUFReader

    reader: GGUFReader = GGUFReader(source)
    return {name: field.contents() for name, field in reader.fields.items()}


def _save_tokenizer(fields: dict[str, Any], source: Path, folder: Path) -> None:
    """``tokenizer.json`` made of the file's own tables.

    Made here because the loading library's conversion does not look at ``tokenizer.ggml.pre`` and would
    split text otherwise than the model was trained with.
    """
    from tokenizers import AddedToken, Tokenizer, decoders, models

    if fields.get("tokenizer.ggml.model") != "gpt2":
        raise JobFailed(
            f"{source} has a tokenizer of kind {fields.get('tokenizer.ggml.model')!r}, and only byte-level "
            "BPE (gpt2) is converted: take the model from the hub"
        )
    tokens: list[str] = fields["tokenizer.ggml.tokens"]
    kinds: list[int] = fields["tokenizer.ggml.token_type"]
    merges = [tuple(merge.split(" ", 1)) for merge in fields["tokenizer.ggml.merges"]]
    tokenizer = Tokenizer(models.BPE({token: i for i, token in enumerate(tokens)}, merges))
    tokenizer.pre_tokenizer = _splitting(fields.get("tokenizer.ggml.pre"), source)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(
        [
            AddedToken(t, special=True, normalized=False)
            for t, k in zip(tokens, kinds, strict=True)
            if k == _CONTROL
        ]
    )
    tokenizer.save(str(folder / "tokenizer.json"))
    named = {name: tokens[fields[key]] for name, key in _SPECIAL.items() if key in fields}
    length = fields[f"{fields['general.architecture']}.context_length"]
    config = {**named, "model_max_length": int(length), "tokenizer_class": "PreTrainedTokenizerFast"}
    _write_json(folder / "tokenizer_config.json", config)
    if template := fields.get("tokenizer.chat_template"):
        (folder / "chat_template.jinja").write_text(template, encoding="utf-8", newline="\n")


def _splitting(name: str | None, source: Path) -> Any:
    """How text is cut before merges are applied, by GGUF's name for it."""
    from tokenizers import pre_tokenizers

    words = pre_tokenizers.ByteLevel(add_prefix_space=False)
    if name in ("default", "gpt-2", None):
        return words
    if name == "smollm":  # each digit for itself
        return pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True), words])
    raise JobFailed(
        f"{source} splits text by the rule {name!r}, which is not known here: take the model from the hub"
    )


def _save_model(source: Path, folder: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM

    with redirect_stderr(io.StringIO()):  # progress bars, which say nothing that one plain line does not
        read = AutoModelForCausalLM.from_pretrained(
            source.parent, gguf_file=source.name, dtype=torch.float32, local_files_only=True
        )
    config = read.config
    if hasattr(config, "quantization_config"):
        del config.quantization_config
    with torch.device("meta"):
        # What was read counts as quantized and refuses to be saved; a fresh model of the same shape doesn't.
        fresh = type(read)(config)
    fresh.load_state_dict(read.state_dict(), assign=True)
    fresh.tie_weights()
    fresh.generation_config = read.generation_config
    with redirect_stderr(io.StringIO()):
        fresh.save_pretrained(folder, max_shard_size="1TB")
    for name in ("config.json", "generation_config.json"):
        path = folder / name
        content = json.loads(path.read_text(encoding="utf-8"))
        _write_json(path, {key: value for key, value in content.items() if key not in _TRACES})


def _write_json(path: Path, content: dict[str, Any]) -> None:
    text = json.dumps(content, indent=2, sort_keys=True, ensure_ascii=False)
    path.write_text(text + "\n", encoding="utf-8", newline="\n")
