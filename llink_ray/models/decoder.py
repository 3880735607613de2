"""The frozen English decoder: teacher states, embeddings, generation."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from functools import cached_property
from typing import Any

import torch

from llink_ray.errors import LlinkError
from llink_ray.models.loading import quiet_loading
from llink_ray.models.locate import explain_errors, fingerprint, locate, require_vocabulary
from llink_ray.progress import track
from llink_ray.prompts.builder import PromptBuilder
from llink_ray.settings import DecoderSettings, TeacherSettings


class Decoder:
    """Any causal model of ``transformers`` that takes input embeddings, with its tokenizer."""

    def __init__(self, model: Any, tokenizer: Any, settings: DecoderSettings) -> None:
        self.model = model.eval().requires_grad_(False)
        _feed_contiguously(model.get_output_embeddings())
        self.tokenizer = tokenizer
        self.settings = settings
        self.prompt_builder = PromptBuilder(tokenizer, settings.system)
        self.dim = int(model.get_input_embeddings().weight.shape[1])
        self.fingerprint = fingerprint(settings.model, settings.revision, "decoder")
        self.forwards = 0
        """Teacher batches read so far."""

    @classmethod
    def load(
        cls, settings: DecoderSettings, device: str = "cpu", dtype: torch.dtype | None = None
    ) -> Decoder:
        """Load from a directory or the hub; float32 unless ``dtype`` says otherwise.

        Raises:
            LlinkError: no such model, gated, no tokenizer.
        """
        source = locate(settings.model, "decoder")
        from transformers import AutoModelForCausalLM

        tokenizer = load_tokenizer(settings)
        with explain_errors(settings.model, "decoder"), quiet_loading():
            model = AutoModelForCausalLM.from_pretrained(
                source, revision=settings.revision, dtype=dtype or torch.float32
            )
        return cls(model.to(device), tokenizer, settings)

    @property
    def device(self) -> torch.device:
        """Of the weights."""
        device: torch.device = self.model.get_input_embeddings().weight.device
        return device

    def prepare_training(self) -> None:
        """Choose what is quick in a backward pass, and little memory where the settings say so."""
        if self.device.type == "cpu" and self.model.dtype == torch.bfloat16:
            # Torch's fused attention spends a fifth of a step in its backward there; matrix products do not.
            self.model.set_attn_implementation("eager")
        if self.settings.gradient_checkpointing:
            self.model.gradient_checkpointing_enable({"use_reentrant": False})

    def embedding_norm(self) -> float:
        """Median norm of the token embeddings as the first layer receives them (paper, section 3.3).

        Computed by the embedding module, not from its weights: some families scale inside it.
        """
        table = self.model.get_input_embeddings()
        ids = torch.arange(table.weight.shape[0], device=self.device)
        norms = [table(block).float().norm(dim=-1) for block in ids.split(8_192)]
        norm = float(torch.cat(norms).median())
        return norm if norm > 0 else 1.0

    def token_counts(self, texts: list[str]) -> list[int]:
        """Tokens each English text costs the teacher, for batching by length."""
        return [len(ids) + 1 for ids in self._teacher_ids(texts, self.settings.teacher)]

    def _teacher_ids(self, texts: list[str], teacher: TeacherSettings) -> list[list[int]]:
        limit = self.settings.max_teacher_tokens
        ids: list[list[int]] = self.tokenizer(texts, truncation=True, max_length=limit)["input_ids"]
        if teacher.read_out == "last":
            before, after = teacher.prompt.split("{text}")
            ids = [
                [*self.prompt_builder.token_ids(before), *row, *self.prompt_builder.token_ids(after)]
                for row in ids
            ]
        start = self.tokenizer.bos_token_id
        return [row if start is None or row[:1] == [start] else [start, *row] for row in ids]

    def _layer(self, teacher: TeacherSettings) -> int | None:
        """The layer that is read; None for the last, behind the final norm."""
        if teacher.layer is not None or teacher.depth is None:
            return teacher.layer
        count = len(transformer_blocks(self.model))
        layer = max(1, round(teacher.depth * count))
        return layer if layer < count else None

    @cached_property
    def _read_out(self) -> torch.Tensor:
        """Embedding of the read-out token, (d,); the mean embedding where the vocabulary lacks it."""
        table = self.model.get_input_embeddings()
        known = self.tokenizer.get_vocab().get(self.settings.teacher_token)
        rows = torch.arange(table.weight.shape[0]) if known is None else torch.tensor([known])
        rows = rows.to(self.device)
        total = torch.stack([table(block).float().sum(0) for block in rows.split(8_192)]).sum(0)
        mean: torch.Tensor = (total / len(rows)).to(table.weight.dtype)
        return mean

    @torch.inference_mode()
    def teacher_states(
        self, texts: list[str], adapted: bool = False, teacher: TeacherSettings | None = None
    ) -> torch.Tensor:
        """The decoder's state of each English text, (B, d_dec), float32, read out as ``teacher`` says.

        Paper, section 3.2. Text is truncated to ``max_teacher_tokens``. The teacher is the decoder without
        adapters; ``adapted`` leaves them on. Without ``teacher``, the settings' own.
        """
        self.forwards += 1
        teacher = teacher or self.settings.teacher
        rows = self._teacher_ids(texts, teacher)
        with_token = teacher.read_out == "token"
        ids, mask = left_pad([[*row, 0] for row in rows] if with_token else rows)  # (B, T)
        ids, mask = ids.to(self.device), mask.to(self.device)
        embeddings = self.model.get_input_embeddings()(ids)  # (B, T, d)
        if with_token:
            embeddings[:, -1] = self._read_out
        with nullcontext() if adapted else without_adapters(self.model):
            states = states_at(self.model, embeddings, mask, self._layer(teacher))  # (B, T, d)
        if teacher.read_out != "mean":
            return states[:, -1].float().cpu()
        # The first token's state is an attention sink, hundreds of times as long as any other.
        counted = mask * (positions(mask) > 0) + mask * (mask.sum(-1, keepdim=True) == 1)  # (B, T)
        weights = counted[..., None].float()
        mean: torch.Tensor = (states.float() * weights).sum(1) / weights.sum(1)
        return mean.cpu()

    @torch.inference_mode()
    def greedy(
        self, embedded: torch.Tensor, mask: torch.Tensor, max_new_tokens: int, adapted: Any = None
    ) -> list[str]:
        """Greedy continuations of B left-padded prompts, embedded (B, S, d) and mask (B, S).

        ``adapted`` is this decoder with adapters on it, where there are some.
        """
        stops = self.stop_ids()
        generated = (adapted if adapted is not None else self.model).generate(
            inputs_embeds=embedded,
            attention_mask=mask,
            max_new_tokens=max_new_tokens,
            do_sample=False,
            num_beams=1,
            repetition_penalty=1.0,  # some models' default would suppress repeated digits
            eos_token_id=stops,
            pad_token_id=self.pad_id(),
        )  # (B, <= max_new_tokens)
        texts = []
        for row in generated.tolist():
            end = next((i for i, token in enumerate(row) if token in stops), len(row))
            texts.append(self.tokenizer.decode(row[:end], skip_special_tokens=True).strip())
        return texts

    def answer_english(
        self,
        questions: Sequence[tuple[str, str]],
        batch_size: int,
        max_new_tokens: int,
        adapted: Any = None,
    ) -> list[str]:
        """Answers to (instruction, text) pairs with the text itself in the prompt, no slots.

        Without adapters, or by ``adapted``, this decoder with adapters on it.
        """
        answers: list[str] = []
        with track("answers about English", "questions", len(questions)) as progress:
            for start in range(0, len(questions), batch_size):
                rows = [
                    self.prompt_builder.text_prompt(*item) for item in questions[start : start + batch_size]
                ]
                ids, mask = left_pad(rows)  # (B, S)
                embedded = self.model.get_input_embeddings()(ids.to(self.device))
                with without_adapters(self.model) if adapted is None else nullcontext():
                    answers += self.greedy(embedded, mask.to(self.device), max_new_tokens, adapted)
                progress.advance(len(rows))
        return answers

    def stop_ids(self) -> list[int]:
        """Tokens that end an answer."""
        config = self.model.generation_config.eos_token_id
        eos = config if isinstance(config, list) else [config]
        return sorted(
            {int(i) for i in [*eos, self.tokenizer.eos_token_id, self.prompt_builder.end_id] if i is not None}
        )

    def pad_id(self) -> int:
        """Fills finished rows of a generation; masked, so any id that does not end an answer will do."""
        pad = self.tokenizer.pad_token_id
        return int(pad) if pad is not None and pad not in self.stop_ids() else 0


def _feed_contiguously(output_layer: torch.nn.Module) -> None:
    """Have the output layer read contiguous states.

    Models slice the last position out of (B, S, d); torch multiplies such a view by B copies of the weights.
    """
    output_layer.register_forward_pre_hook(lambda _, inputs: (inputs[0].contiguous(),))


@contextmanager
def without_adapters(model: Any) -> Iterator[None]:
    """Switch adapters off: PEFT puts them into the base model itself."""
    from peft.tuners.tuners_utils import BaseTunerLayer

    layers = [layer for layer in model.modules() if isinstance(layer, BaseTunerLayer)]
    layers = [layer for layer in layers if not layer.disable_adapters]
    trained = [p for layer in layers for p in layer.parameters() if p.requires_grad]
    for layer in layers:
        layer.enable_adapters(False)
    try:
        yield
    finally:
        for layer in layers:
            layer.enable_adapters(True)
            layer.requires_grad_(False)
        for parameter in trained:
            parameter.requires_grad_(True)


def load_tokenizer(settings: DecoderSettings) -> Any:
    """The decoder's tokenizer, without its weights.

    Raises:
        LlinkError: no such model, gated, no tokenizer, or one that cannot end an answer.
    """
    source = locate(settings.model, "decoder")
    from transformers import AutoTokenizer

    with explain_errors(settings.model, "decoder"):
        tokenizer = AutoTokenizer.from_pretrained(source, revision=settings.revision)
        require_vocabulary(tokenizer, settings.model, "decoder")
    if tokenizer.eos_token_id is None:
        raise LlinkError(
            f"decoder {settings.model!r} has a tokenizer without an end-of-sequence token: set "
            "eos_token in its tokenizer_config.json"
        )
    return tokenizer


class _LayerReached(Exception):
    """Stops a forward at the layer that is read."""

    def __init__(self, states: torch.Tensor) -> None:
        self.states = states


def states_at(model: Any, embeddings: torch.Tensor, mask: torch.Tensor, layer: int | None) -> torch.Tensor:
    """States (B, T, d) behind ``layer`` blocks of a causal model; without a number, behind all and the norm.

    Blocks above are not run. ``embeddings`` is (B, T, d), ``mask`` (B, T), padded on the left.

    Raises:
        LlinkError: the decoder has no such layer.
    """
    inputs = {"inputs_embeds": embeddings, "attention_mask": mask, "position_ids": positions(mask)}
    if layer is None:
        states: torch.Tensor = model.base_model(**inputs, use_cache=False).last_hidden_state
        return states
    blocks = transformer_blocks(model)
    if layer >= len(blocks):
        raise LlinkError(
            f"decoder.teacher.layer is {layer}, but this decoder has {len(blocks)} layers: name one below "
            f"{len(blocks)}, or none for the last"
        )

    def stop(module: Any, positional: tuple[Any, ...], named: dict[str, Any]) -> None:
        raise _LayerReached(positional[0] if positional else named["hidden_states"])

    hook = blocks[layer].register_forward_pre_hook(stop, with_kwargs=True)
    try:
        model.base_model(**inputs, use_cache=False)
    except _LayerReached as reached:
        return reached.states
    finally:
        hook.remove()
    raise AssertionError("a causal model runs its blocks in order")


def transformer_blocks(model: Any) -> torch.nn.ModuleList:
    """The decoder's blocks: the list of as many modules as its configuration has layers."""
    count = model.config.get_text_config().num_hidden_layers
    lists = (m for m in model.modules() if isinstance(m, torch.nn.ModuleList))
    return next(blocks for blocks in lists if len(blocks) == count)


def left_pad(rows: Sequence[Sequence[int]]) -> tuple[torch.Tensor, torch.Tensor]:
    """Token ids and mask, both (B, S), long: B rows padded on the left; 0 where padded."""
    length = max(map(len, rows))
    ids = [[0] * (length - len(row)) + [*row] for row in rows]
    mask = [[0] * (length - len(row)) + [1] * len(row) for row in rows]
    return torch.tensor(ids, dtype=torch.long), torch.tensor(mask, dtype=torch.long)


def positions(mask: torch.Tensor) -> torch.Tensor:
    """Position ids of a padded batch, (B, T): each row counts its own tokens from 0."""
    return (mask.long().cumsum(-1) - 1).clamp(min=0)
