"""Settings of the two stages, of how they run, and of what is measured afterwards."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, PositiveFloat, PositiveInt

from llink_ray.settings.section import Section


class StageASettings(Section):
    """Contrastive alignment of the projector (paper, section 3.2)."""

    enabled: bool = True
    """Off: Stage B starts from an untrained projector (ablation)."""
    steps: PositiveInt = 20_000
    """Optimizer steps, where ``passes`` does not say how many."""
    passes: PositiveFloat | None = None
    """Passes over the training pairs instead of ``steps``, so that one number fits any corpus."""
    least_steps: PositiveInt = 1
    """Fewest steps with ``passes``: a small corpus is repeated more often."""
    batch_size: PositiveInt = 128
    """Pairs a step, over all workers."""
    learning_rate: PositiveFloat = 1e-3
    """Peak learning rate."""
    final_learning_rate: float = Field(default=1e-5, ge=0.0)
    """At the end of the cosine schedule."""
    warmup_steps: int = Field(default=3_000, ge=0)
    """Linear warm-up; at most a tenth of the steps where ``passes`` says how many."""
    weight_decay: float = Field(default=0.05, ge=0.0)
    """Of AdamW."""
    betas: tuple[float, float] = (0.9, 0.98)
    """Of AdamW."""
    clip: PositiveFloat = 1.0
    """Largest gradient norm."""
    temperature_start: PositiveFloat = 0.17
    """InfoNCE temperature at the first step."""
    temperature_end: PositiveFloat = 0.08
    """InfoNCE temperature at the last step."""
    queue: int = Field(default=32_768, ge=0)
    """Size of the queue of past vectors that serve as negatives; 0 for none."""
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
    """Steps between two evaluations on the validation pairs; where ``passes`` is set, there are forty."""
    keep: Literal["best", "last"] = "best"
    """Which projector the stage ends with: the best by retrieval on the validation pairs, or the last."""
    patience: int = Field(default=0, ge=0)
    """Evaluations without an improvement after which the stage ends early; 0 for never."""

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

    def planned_evaluation_interval(self, pairs: int) -> int:
        """Steps between two evaluations on the validation pairs; with ``passes``, a fortieth of all steps."""
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
    """What replaces the slots."""
    as_in_the_papers_code: bool = False
    """The sign of the authors' code, against that of their text: punishes slots for being useful."""


class EmbeddingStartSettings(Section):
    """A start of the slots without the decoder's layers: token states learn the embeddings of English tokens.

    For slot variants that map single tokens, and without ``init_from``; elsewhere there is none. Not in the
    paper.
    """

    passes: float = Field(default=0.0, ge=0.0)
    """Passes over the tokens of the pairs; 0 for no such start."""
    pairs: PositiveInt = 20_000
    """Most pairs whose tokens are used."""
    batch_size: PositiveInt = 1_024
    """Tokens a step."""
    learning_rate: PositiveFloat = 2e-3
    """Peak learning rate, of AdamW."""
    temperature: PositiveFloat = 0.05
    """Of the InfoNCE over token embeddings."""
    negatives: PositiveInt = 2_048
    """Tokens drawn at random beside those of the batch."""


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
    """Most examples in one forward of one worker; nothing means all of its share of the batch."""
    micro_batch_tokens: PositiveInt | None = None
    """Most positions in one forward of one worker, padding included, unless one example alone has more: what
    bounds the memory of a step, since a batch of long texts takes several forwards and one of short texts a
    single one."""
    lora_learning_rate: PositiveFloat = 1e-4
    """Peak learning rate of the adapters."""
    slot_learning_rate: PositiveFloat = 3e-5
    """Peak learning rate of the slot modules."""
    scale_learning_rate: PositiveFloat = 5e-4
    """Peak learning rate of the learned scale."""
    warmup_fraction: float = Field(default=0.15, ge=0.0, lt=1.0)
    """Linear warm-up, then cosine to zero."""
    weight_decay: float = Field(default=0.0, ge=0.0)
    """Of AdamW."""
    betas: tuple[float, float] = (0.9, 0.98)
    """Of AdamW."""
    clip: PositiveFloat = 1.0
    """Largest gradient norm."""
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
    """Temperature of that InfoNCE."""
    bag_of_words_weight: float = Field(default=0.1, ge=0.0)
    """Slots must name the English words, read by the decoder's own output rows."""
    words_in_order_weight: float = Field(default=0.0, ge=0.0)
    """Slot k must name the words of the k-th of K parts of the English; not in the paper."""
    distillation_weight: float = Field(default=0.0, ge=0.0)
    """Distance of the answer's next-token distributions from those of the same decoder without adapters that
    reads the English; not in the paper."""
    embedding_start: EmbeddingStartSettings = EmbeddingStartSettings()
    """What comes before the first step."""
    usage: UsageSettings = UsageSettings()
    """The usage objective."""
    evaluate_every: PositiveInt = 200
    """Steps between two evaluations of the validation loss."""
    validation_examples: PositiveInt = 128
    """Validation pairs in it, with an example of each."""
    validation_batch_size: PositiveInt = 32
    """Of these, in one forward pass."""
    validation_answers: int = Field(default=0, ge=0)
    """Validation questions that each evaluation also answers; 0 for none. Sweeps compare trials by them."""


class DeepSpeedSettings(Section):
    """How Stage B is spread over workers."""

    zero_stage: Literal[0, 1, 2, 3] = 2
    """ZeRO stage."""
    offload: bool = False
    """Optimizer state (and parameters, stage 3) in host memory; for GPUs."""
    bf16: bool | None = None
    """Nothing: where the device computes in it, a processor with AVX-512 BF16 or AMX too."""


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
    """Number of the newest ones that are kept."""
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
