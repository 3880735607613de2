"""Outputs of the frozen models: computed once, stored under a hash of all that their values depend on.

A :class:`FeatureSpec` identifies them, a :class:`FeatureStore` holds them, :class:`Features` reads them.
"""

from __future__ import annotations

from llink_ray.features.rows import RaggedRows, ShardedRows
from llink_ray.features.spec import FeatureSpec, Shard
from llink_ray.features.store import Features, FeatureStore

__all__ = ["FeatureSpec", "FeatureStore", "Features", "RaggedRows", "Shard", "ShardedRows"]
