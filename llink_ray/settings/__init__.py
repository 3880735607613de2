"""Typed settings: preset, then file, then flags; complete, printable, and strict about unknown keys.

Field names use the paper's terms (arXiv 2510.27254, sections 3 and 4). Every number of a recipe
stands in ``presets/*.yaml``; the defaults here are the ones that no recipe should have to repeat.
"""

from llink_ray.settings.models import (
    CorpusSettings,
    DecoderSettings,
    EncoderSettings,
    FeatureSettings,
    LoraSettings,
    ProjectorSettings,
    TeacherSettings,
)
from llink_ray.settings.schema import Settings
from llink_ray.settings.section import Section
from llink_ray.settings.slots import SlotSettings
from llink_ray.settings.training import (
    CheckpointSettings,
    ClusterSettings,
    DeepSpeedSettings,
    EmbeddingStartSettings,
    EvaluationSettings,
    StageASettings,
    StageBSettings,
    UsageSettings,
)

__all__ = [
    "CheckpointSettings",
    "ClusterSettings",
    "CorpusSettings",
    "DecoderSettings",
    "DeepSpeedSettings",
    "EmbeddingStartSettings",
    "EncoderSettings",
    "EvaluationSettings",
    "FeatureSettings",
    "LoraSettings",
    "ProjectorSettings",
    "Section",
    "Settings",
    "SlotSettings",
    "StageASettings",
    "StageBSettings",
    "TeacherSettings",
    "UsageSettings",
]
