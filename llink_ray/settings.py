"""Typed settings: preset, then file, then flags; complete, printable, and strict about unknown keys.

Field names use the paper's terms (arXiv 2510.27254, sections 3 and 4). Every number of a recipe
stands in ``presets/*.yaml``; the defaults here are the ones that no recipe should have to repeat.
"""

from __future__ import annotations

from typing import Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    PositiveFloat,
    PositiveInt,
    field_validator,
    model_validator,
)

Fraction = Field(ge=0.0, lt=1.0)
Weight = Field(ge=0.0)


class Section(BaseModel):
    """A group of settings: unknown keys are refused, assignment is checked."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, use_attribute_docstrings=True, validate_default=True
    )


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
    prompt: str = ""
    """Put before each text, for encoders trained so (e5 wants ``query: ``)."""


class TeacherSettings(Section):
    """What of the frozen decoder stands for an English sentence: the teacher state of Stage A."""

    read_out: Literal["token", "last", "mean"] = "token"
    """``token``: the state at a read-out token behind the sentence (paper, section 3.2); ``last``: at the
    last token of ``prompt``; ``mean``: mean over the sentence's tokens, its first apart."""
    layer: PositiveInt | None = None
    """Layer whose states are read, from 1; the layers above it are not run. Nothing means the last, behind
    the final norm."""
    depth: float | None = Field(default=None, gt=0.0, le=1.0)
    """The layer as a share of the decoder's layers, where ``layer`` names none: fits any decoder."""
    prompt: str = "{text}"
    """Text that the sentence stands in, for ``last``."""

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
    gradient_checkpointing: bool = False
    """Trade time for memory in large decoders."""


class CorpusSettings(Section):
    """Parallel text: where it comes from and what is kept of it."""

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
    """Longest over shortest side, in UTF-8-independent letters, beyond which a pair is dropped."""
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
    dropout: float = Fraction
    """After the activation."""
    linear: bool = False
    """A linear map beside the layers, which starts as the ridge regression of the normalised teacher states
    on all that is read of the encoder, and layers that start at nothing: what a regression finds in seconds
    is not left to the steps, and carries over to other text."""
    teacher_norm: Literal["none", "standard", "predictive"] = "none"
    """How teacher states are normalised before they are compared, by constants of the training text that
    the projector keeps. ``none``: not at all (the paper's way); ``standard``: mean 0 and spread 1 in each
    dimension; ``predictive``: whitened, each direction weighed by how well the encoder predicts it."""


class SlotSettings(Section):
    """K soft slots that stand in the prompt where the foreign text would have stood."""

    count: int = Field(default=8, ge=1, le=256)
    """K."""
    variant: Literal["mean", "resampler", "none"] = "resampler"
    """``mean``: the paper's expander of the projected vector; ``resampler``: also reads token states;
    ``none``: no slots, the raw text stands in the prompt (the baseline of direct fine-tuning)."""
    heads: PositiveInt = 4
    """Attention heads of the resampler."""
    layers: PositiveInt = 2
    """Cross-attention layers of the resampler."""
    max_sentences: PositiveInt = 1
    """Foreign sentences of one message, K slots each, and English between them stays text; a longer
    message is refused. 1: a message is one text, however long, and all of it foreign (the paper's way)."""
    numerals: bool = True
    """Write the text's numerals, as ASCII digits, beside the slots."""


class LoraSettings(Section):
    """Adapters on the frozen decoder."""

    rank: PositiveInt = 16
    """r."""
    alpha: PositiveFloat = 16.0
    """Scale numerator."""
    dropout: float = Field(default=0.05, ge=0.0, lt=1.0)
    """On the adapter's input."""
    targets: str | tuple[str, ...] = "all-linear"
    """PEFT target modules; ``all-linear`` fits every family."""


class StageASettings(Section):
    """Contrastive alignment of the projector (paper, section 3.2)."""

    enabled: bool = True
    """Off: Stage B starts from an untrained projector (ablation)."""
    steps: PositiveInt = 20_000
    """Optimizer steps, where ``passes`` does not say how many."""
    passes: PositiveFloat | None = None
    """Passes over the training pairs instead of ``steps``, so that one number fits any corpus."""
    least_steps: PositiveInt = 1
    """Steps that ``passes`` makes at least: a small corpus is seen oftener."""
    batch_size: PositiveInt = 128
    """Pairs a step, over all workers."""
    learning_rate: PositiveFloat = 1e-3
    """Peak."""
    final_learning_rate: float = Field(default=1e-5, ge=0.0)
    """End of the cosine."""
    warmup_steps: int = Field(default=3_000, ge=0)
    """Linear warm-up; at most a tenth of the steps where ``passes`` says how many."""
    weight_decay: float = Field(default=0.05, ge=0.0)
    """AdamW."""
    betas: tuple[float, float] = (0.9, 0.98)
    """AdamW."""
    clip: PositiveFloat = 1.0
    """Gradient norm."""
    temperature_start: PositiveFloat = 0.17
    """InfoNCE temperature at the first step."""
    temperature_end: PositiveFloat = 0.08
    """And at the last."""
    queue: int = Field(default=32_768, ge=0)
    """Past vectors kept as negatives; 0 for none."""
    corpus_negatives: int = Field(default=0, ge=0)
    """Teacher states of the whole corpus as negatives of a foreign vector, in place of the queue's: at most
    so many, chosen by the seed; 0 for none."""
    hard_negatives: int = Field(default=256, ge=0)
    """Hardest of the queue, per row, in both directions."""
    direction_weight: float = Field(default=0.05, ge=0.0)
    """Weight of the MSE between unit vectors."""
    norm_weight: float = Field(default=0.02, ge=0.0)
    """Weight of the squared difference of log-norms."""
    english: bool = False
    """Learn from the English side too, read by the encoder as if it were foreign: more to learn from, which
    pays most on text of another kind than the training text. Costs the encoder a second text a pair."""
    evaluate_every: PositiveInt = 500
    """Steps between two looks at the validation pairs; where ``passes`` is set, there are forty looks."""
    keep: Literal["best", "last"] = "best"
    """Which projector the stage ends with: the best by retrieval on the validation pairs, or the last."""
    patience: int = Field(default=0, ge=0)
    """Looks at the validation pairs without a better one after which the stage ends early; 0 for never."""

    def planned_steps(self, pairs: int) -> int:
        """Optimizer steps over ``pairs`` training pairs; 0 where the stage is off."""
        if not self.enabled:
            return 0
        if self.passes is None:
            return self.steps
        rows = pairs * 2 if self.english else pairs
        return max(self.least_steps, round(self.passes * rows / min(self.batch_size, rows)))

    def planned_warmup(self, pairs: int) -> int:
        """Steps of linear warm-up."""
        if self.passes is None:
            return self.warmup_steps
        return min(self.warmup_steps, self.planned_steps(pairs) // 10)

    def planned_looks(self, pairs: int) -> int:
        """Steps between two looks at the validation pairs: with ``passes``, a fortieth of them all."""
        if self.passes is None:
            return self.evaluate_every
        return max(1, self.planned_steps(pairs) // 40)


class UsageSettings(Section):
    """The slots must be used: margin hinge on (loss with slots - loss ablated) (paper, section 3.3)."""

    every: int = Field(default=3, ge=0)
    """Steps between two usage terms; 0 for never."""
    weight: float = Field(default=0.1, ge=0.0)
    """Weight of the term."""
    margin: float = Field(default=1.0, ge=0.0)
    """Nats by which slots must win."""
    ablation: Literal["zero", "shuffle", "mean"] = "shuffle"
    """What stands in for the slots."""
    as_in_the_papers_code: bool = False
    """The sign of the authors' code, against that of their text: punishes slots for being useful."""


class StageBSettings(Section):
    """Slots and LoRA under the supervised loss (paper, section 3.3)."""

    source: Literal["foreign", "english"] = "foreign"
    """Side of a pair that the decoder reads; ``english`` gives a ceiling: the same adapters, trained equally
    on the English text itself (wants ``slots.variant=none``)."""
    steps: PositiveInt = 1_000
    """Optimizer steps."""
    batch_size: PositiveInt = 128
    """Examples a step, over all workers and accumulation."""
    micro_batch_size: PositiveInt | None = None
    """Examples in one forward of one worker; nothing means no accumulation."""
    lora_learning_rate: PositiveFloat = 1e-4
    """Peak, adapters."""
    slot_learning_rate: PositiveFloat = 3e-5
    """Peak, slot modules."""
    scale_learning_rate: PositiveFloat = 5e-4
    """Peak, the learned scale."""
    warmup_fraction: float = Field(default=0.15, ge=0.0, lt=1.0)
    """Linear warm-up, then cosine to zero."""
    weight_decay: float = Field(default=0.0, ge=0.0)
    """AdamW."""
    clip: PositiveFloat = 1.0
    """Gradient norm."""
    examples_per_pair: PositiveInt = 1
    """Instructions drawn from one pair in one pass."""
    translate_share: float = Field(default=0.35, ge=0.0, le=1.0)
    """Share of the examples that ask for a translation, where pairs carry other questions too."""
    passage_share: float = Field(default=0.0, ge=0.0, le=1.0)
    """Share of the examples that stand in a passage of several sentences, asked about by their place."""
    passage_sentences: int = Field(default=6, ge=2)
    """Sentences of the longest such passage."""
    passage_english_share: float = Field(default=0.25, ge=0.0, le=1.0)
    """Share of the other sentences of a passage that are given in English, as text."""
    cosine_weight: float = Field(default=0.05, ge=0.0)
    """Holds the mean slot near the projected vector."""
    contrastive_weight: float = Field(default=1e-3, ge=0.0)
    """InfoNCE between mean slots and teacher states."""
    contrastive_temperature: PositiveFloat = 0.07
    """Its temperature."""
    bag_of_words_weight: float = Field(default=0.1, ge=0.0)
    """Slots must name the English words, read by the decoder's own output rows."""
    words_in_order_weight: float = Field(default=0.0, ge=0.0)
    """Slot k must name the words of the k-th of K parts of the English; not in the paper."""
    usage: UsageSettings = UsageSettings()
    """The usage objective."""
    evaluate_every: PositiveInt = 200
    """Steps between two looks at the validation loss."""
    validation_answers: int = Field(default=0, ge=0)
    """Validation questions that each look answers as well; 0 for none. Sweeps compare trials by them."""


class DeepSpeedSettings(Section):
    """How Stage B is spread over workers."""

    zero_stage: Literal[0, 1, 2, 3] = 2
    """ZeRO stage."""
    offload: bool = False
    """Optimizer state (and parameters, stage 3) in host memory; for GPUs."""
    bf16: bool | None = None
    """Nothing: where the device has it."""


class ClusterSettings(Section):
    """What one run asks of Ray."""

    num_workers: PositiveInt = 1
    """Ray Train workers."""
    cpus_per_worker: PositiveFloat = 1.0
    """CPUs each asks for."""
    gpus_per_worker: float = Field(default=0.0, ge=0.0)
    """GPUs each asks for; 0 trains on CPUs."""
    threads: PositiveInt | None = None
    """Torch threads a worker; nothing means its CPUs, or every core for a single run on a local Ray."""
    max_failures: int = Field(default=3, ge=0)
    """Restarts after a lost worker before the job gives up."""


class CheckpointSettings(Section):
    """Resume is by step."""

    every_steps: PositiveInt = 500
    """Steps between two checkpoints, counted in each stage."""
    keep: PositiveInt = 2
    """Newest N kept."""
    log_every: PositiveInt = 10
    """Steps between two lines of ``history.jsonl``."""


class EvaluationSettings(Section):
    """Figures on the held-out pairs after training."""

    retrieval_pairs: PositiveInt = 1_024
    """Held-out pairs in the retrieval table."""
    answers: PositiveInt = 512
    """Held-out questions answered."""
    translations: PositiveInt = 128
    """Held-out pairs translated."""
    passages: int = Field(default=256, ge=0)
    """Questions about one sentence of a passage, and about a foreign sentence beside an English one, each."""
    gain_examples: PositiveInt = 256
    """Examples in the slot-gain figures."""
    batch_size: PositiveInt = 64
    """Prompts in one batch of generation."""
    max_new_tokens: PositiveInt = 64
    """Longest answer."""


class Settings(Section):
    """Everything one training run needs to know; stored in the run directory as it was used."""

    preset: str = "tiny"
    """Name of the preset these settings started from."""
    seed: int = Field(default=0, ge=0)
    """Same seed, same machine, same workers: same result."""
    encoder: EncoderSettings = EncoderSettings()
    """Frozen encoder."""
    decoder: DecoderSettings = DecoderSettings()
    """Frozen decoder."""
    corpus: CorpusSettings = CorpusSettings()
    """Parallel text."""
    features: FeatureSettings = FeatureSettings()
    """Stored outputs of the frozen models."""
    projector: ProjectorSettings = ProjectorSettings(dropout=0.1)
    """Stage A's module."""
    slots: SlotSettings = SlotSettings()
    """Stage B's modules."""
    lora: LoraSettings = LoraSettings()
    """Stage B's adapters."""
    stage_a: StageASettings = StageASettings()
    """Contrastive alignment."""
    stage_b: StageBSettings = StageBSettings()
    """Slots and usage."""
    deepspeed: DeepSpeedSettings = DeepSpeedSettings()
    """ZeRO."""
    cluster: ClusterSettings = ClusterSettings()
    """Ray Train."""
    checkpoint: CheckpointSettings = CheckpointSettings()
    """Resume."""
    evaluation: EvaluationSettings = EvaluationSettings()
    """Figures."""

    @model_validator(mode="after")
    def _batches_divide(self) -> Settings:
        workers = self.cluster.num_workers
        for name, size in (
            ("stage_a.batch_size", self.stage_a.batch_size),
            ("stage_b.batch_size", self.stage_b.batch_size),
        ):
            if size % workers:
                raise ValueError(
                    f"{name} is {size}, which does not divide by cluster.num_workers = {workers}: "
                    f"give a multiple of {workers}"
                )
        micro = self.stage_b.micro_batch_size
        if micro is not None and (self.stage_b.batch_size // workers) % micro:
            raise ValueError(
                f"stage_b.micro_batch_size is {micro}, which does not divide the "
                f"{self.stage_b.batch_size // workers} examples of one worker's step"
            )
        if self.stage_b.source == "english" and self.slots.variant != "none":
            raise ValueError(
                f"stage_b.source=english puts the English into the prompt as text, where slots.variant="
                f"{self.slots.variant} puts slots: add slots.variant=none"
            )
        if self.stage_b.passage_share and self.slots.max_sentences < self.stage_b.passage_sentences:
            raise ValueError(
                f"stage_b.passage_sentences is {self.stage_b.passage_sentences}, more than the "
                f"{self.slots.max_sentences} of slots.max_sentences: raise that, or set "
                "stage_b.passage_share=0"
            )
        if self.stage_b.validation_answers and self.deepspeed.zero_stage == 3:
            raise ValueError(
                "stage_b.validation_answers wants whole weights on every worker, which "
                "deepspeed.zero_stage=3 does not keep: set that to 2, or stage_b.validation_answers=0"
            )
        if self.stage_a.hard_negatives and not self.stage_a.queue:
            raise ValueError(
                "stage_a.hard_negatives needs a queue to draw from: set stage_a.queue, "
                "or stage_a.hard_negatives=0"
            )
        return self
