"""Outputs of the frozen models: computed once, stored under a hash of what made them, shared by all.

A :class:`FeatureSpec` says what is wanted, a :class:`FeatureStore` holds it, :class:`Features` reads it.
"""

from __future__ import annotations

from llink_ray.features.rows import Features, RaggedRows, ShardedRows
from llink_ray.features.spec import FeatureSpec, Shard
from llink_ray.features.store import FeatureStore

__all__ = ["FeatureSpec", "FeatureStore", "Features", "RaggedRows", "Shard", "ShardedRows"]
