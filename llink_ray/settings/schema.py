"""The settings of one training run as a whole."""

from __future__ import annotations

from pydantic import Field, model_validator

from llink_ray.settings.models import (
    CorpusSettings,
    DecoderSettings,
    EncoderSettings,
    FeatureSettings,
    LoraSettings,
    ProjectorSettings,
)
from llink_ray.settings.section import Section
from llink_ray.settings.slots import SLOT_VARIANTS, SlotSettings
from llink_ray.settings.training import (
    CheckpointSettings,
    ClusterSettings,
    DeepSpeedSettings,
    EvaluationSettings,
    StageASettings,
    StageBSettings,
)


class Settings(Section):
    """Everything one training run needs to know; stored in the run directory as it was used."""

    preset: str = "tiny"
    """Name of the preset these settings started from."""
    seed: int = Field(default=0, ge=0)
    """Same seed, same machine, same workers: same result."""
    init_from: str | None = None
    """What training starts from: the directory of a bundle, or ``base``, the shared base in this package.
    Nothing: new modules."""
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

    @property
    def starts_from_embeddings(self) -> bool:
        """Whether slots learn the decoder's embeddings before Stage B's first step."""
        maps_tokens = SLOT_VARIANTS[self.slots.variant].maps_tokens
        return bool(self.stage_b.embedding_start.passes) and maps_tokens and self.init_from is None

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
        if self.stage_b.source == "english" and self.slots.uses_slots:
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
