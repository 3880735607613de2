"""Searching for the best settings: spaces, suggestions, pruning, what is kept of each trial. No Ray here."""

from __future__ import annotations

from llink_ray.sweeps.space import Space, choice, integer, real

__all__ = ["Space", "choice", "integer", "real"]
