"""The report of a sweep: Markdown, tables, plots."""

from __future__ import annotations

from llink_ray.sweeps.report.markdown import write_report

__all__ = ["write_report"]
