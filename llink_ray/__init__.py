"""LLINK on Ray: teach a frozen English decoder a language as a modality (arXiv 2510.27254).

taught = llink_ray.load("runs/…/bundle")
taught.translate("…")
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from llink_ray.bundles.pipeline import LlinkPipeline

__version__ = "0.1.0"
__all__ = ["__version__", "load"]


def load(*args: Any, **kwargs: Any) -> LlinkPipeline:
    """Verify a bundle and put it to work; see :func:`llink_ray.bundles.pipeline.load`."""
    from llink_ray.bundles.pipeline import load as load_bundle  # imports torch only now

    return load_bundle(*args, **kwargs)
