"""Settings of the corpus, the frozen models and the trained modules."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, PositiveFloat, PositiveInt, field_validator, model_validator

from llink_ray.settings.section import Section


class EncoderSettings(Section):
    """The frozen multilingual sentence encoder."""

    model: str = ""
    """Hub id or local directory; ``embedded`` is the tiny one in this package."""
    revision: str | None = None
    """Hub revision; pin it, so that features can be found again."""
    pooling: Literal["mean", "cls"] | None = None
    """How to pool a model that does not say so itself (no sentence-transformers ``modules.json``)."""
    max_characters: PositiveInt = 256
    """Foreign text is cut here (paper, Stage A)."""
    layers: tuple[int, ...] = ()
    """Layers whose mean states the projector mixes, by weights that it learns; 0 is the embeddings. None: the
    model's own sentence vector alone."""
    token_layer: PositiveInt | None = None
    """Layer whose token states slots read; nothing means the last. Encoders that were trained for sentence
    vectors blur in their last layers which word a token is."""
    text_tokens_only: bool = False
    """Give slots the states of the text's own tokens, without those of the prompt and of special tokens."""
    prompt: str = ""
    """Put before each text, for encoders trained so (e5 wants ``query: ``)."""


class TeacherSettings(Section):
    """The teacher state of Stage A: what the frozen decoder makes of an English sentence."""

    read_out: Literal["token", "last", "mean"] = "token"
    """``token``: the state at a read-out token behind the sentence (paper, section 3.2); ``last``: at the
    last token of ``prompt``; ``mean``: mean over the sentence's tokens, its first apart."""
    layer: PositiveInt | None = None
    """Layer whose states are read, from 1; the layers above it are not run. Nothing means the last, behind
    the final norm."""
    depth: float | None = Field(default=None, gt=0.0, le=1.0)
    """The layer as a share of the decoder's layers, where ``layer`` names none: fits any decoder."""
    prompt: str = "{text}"
    """Template around the sentence, for ``last``."""

    @model_validator(mode="after")
    def _prompt_holds_the_text(self) -> TeacherSettings:
        if self.prompt.count("{text}") != 1:
            raise ValueError(
                f"decoder.teacher.prompt is {self.prompt!r}: write {{text}} once, where the sentence goes"
            )
        return self


class DecoderSettings(Section):
    """The frozen, instruction-tuned English decoder."""

    model: str = ""
    """Hub id or local directory; ``embedded`` is the tiny one in this package."""
    revision: str | None = None
    """Hub revision."""
    max_teacher_tokens: PositiveInt = 128
    """English tokens the teacher reads (paper, Stage A)."""
    teacher_token: str = "<foreign_emb>"  # noqa: S105 - a vocabulary entry, not a secret
    """Read-out token; where the vocabulary lacks it, the mean of all token embeddings stands in."""
    teacher: TeacherSettings = TeacherSettings()
    """How the teacher is read."""
    system: str | None = None
    """System message of prompts that bring none. Empty: none, where the chat template would write a text of
    its own, which costs tokens at every step and answer. Nothing leaves it to the template."""
    gradient_checkpointing: bool = False
    """Trade time for memory in large decoders."""


class CorpusSettings(Section):
    """Parallel text and how it is cleaned."""

    path: str | None = None
    """TSV or JSONL file; nothing means the embedded phrasebook of the language."""
    pairs: PositiveInt = 12_000
    """How many pairs the phrasebook writes (a file is read whole)."""
    test_fraction: float = Field(default=0.1, gt=0.0, lt=0.5)
    """Share of the pairs held out for the final figures."""
    validation_fraction: float = Field(default=0.03, gt=0.0, lt=0.5)
    """Share held out for figures during training."""
    min_characters: PositiveInt = 2
    """Shorter sides are dropped."""
    max_characters: PositiveInt = 1_000
    """Longer sides are dropped."""
    max_length_ratio: PositiveFloat = 6.0
    """Largest ratio of the sides' lengths in letters; pairs beyond it are dropped."""
    min_script_share: float = Field(default=0.5, ge=0.0, le=1.0)
    """Share of the foreign letters that must be in the language's script."""
    detect_language: bool = True
    """Drop lines whose foreign side is confidently another language."""
    zawgyi: Literal["drop", "convert"] = "drop"
    """Burmese in Zawgyi, a font's own encoding: dropped, or converted to Unicode."""
    held_out_sources: tuple[str, ...] = ()
    """Sources (the file's column or key ``source``) that never train nor validate: the run measures them
    apart, as ``unseen``."""

    @field_validator("held_out_sources", mode="before")
    @classmethod
    def _is_a_list(cls, value: object) -> object:
        if isinstance(value, str):
            raise ValueError(f"write a list, [{value}]")
        return value


class FeatureSettings(Section):
    """Outputs of the frozen models: computed once, stored, shared."""

    directory: str | None = None
    """Local path or URI of the store; nothing means ``features`` beside the runs."""
    batch_tokens: PositiveInt = 4_096
    """Padded tokens in one forward of a frozen model."""
    dtype: Literal["float32", "bfloat16", "auto"] = "float32"
    """Of the frozen models' weights and arithmetic while features are computed. ``auto`` is bfloat16 on a GPU
    or a processor that multiplies in it (AMX, AVX-512 BF16), two to three times as fast there, and float32
    elsewhere."""
    shard_size: PositiveInt = 1_024
    """Texts in one shard, the unit that is resumed."""


class ProjectorSettings(Section):
    """Foreign sentence vector -> decoder's latent space (paper, Stage A)."""

    hidden: PositiveInt = 3_072
    """Width of the hidden layer."""
    depth: PositiveInt = 1
    """Hidden layers."""
    dropout: float = Field(ge=0.0, lt=1.0)
    """After the activation."""
    linear: bool = False
    """A linear map beside the layers, which starts as the ridge regression of the normalised teacher states
    on all that is read of the encoder, and layers that start at nothing: what a regression finds in seconds
    is not left to the steps, and carries over to other text."""
    teacher_norm: Literal["none", "standard", "predictive"] = "none"
    """How teacher states are normalised before they are compared, by constants of the training text that
    the projector keeps. ``none``: not at all (the paper's way); ``standard``: mean 0 and spread 1 in each
    dimension; ``predictive``: whitened, each direction weighed by how well the encoder predicts it."""


class LoraSettings(Section):
    """Adapters on the frozen decoder."""

    rank: PositiveInt = 16
    """r: rank of the adapters."""
    alpha: PositiveFloat = 16.0
    """The adapters are scaled by alpha / rank."""
    dropout: float = Field(default=0.05, ge=0.0, lt=1.0)
    """On the adapters' input."""
    targets: str | tuple[str, ...] = "all-linear"
    """PEFT target modules; ``all-linear`` fits every family."""
