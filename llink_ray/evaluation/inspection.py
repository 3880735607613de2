"""What the decoder reads for one text, printed and drawn: ``jobs/evaluate.py --inspect``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from llink_ray.bundles.registry import Registry
from llink_ray.errors import LlinkError
from llink_ray.storage.atomic import disk_refused
from llink_ray.text.languages import find
from llink_ray.text.normalisation import visible

PICTURE = "insight.png"


def bundle_of(language: str, registry: str) -> Path:
    """The registry's newest bundle of a language.

    Raises:
        LlinkError: nothing is published for it.
    """
    if not language:
        raise LlinkError("--inspect needs a decoder: name a bundle with --bundle, or a language with --lang")
    return Registry(registry).fetch(find(language).code)


def inspect_bundle(bundle: Path, instruction: str, texts: list[str], output: Path) -> dict[str, Any]:
    """Print and draw the insight of the first of ``texts``, beside the others; returns it as a document.

    Raises:
        LlinkError: no such bundle, an empty text, or a bundle without slots.
        JobFailed: the picture could not be written.
    """
    if not all(visible(text).strip() for text in texts):
        raise LlinkError("--inspect was given an empty text: give a sentence of the language")
    from transformers.utils import logging

    from llink_ray.bundles.pipeline import load
    from llink_ray.evaluation.insight import insight
    from llink_ray.evaluation.insight_plots import draw_insight
    from llink_ray.evaluation.insight_tables import print_insight

    logging.disable_progress_bar()  # of weights that load in no time
    pipeline = load(bundle)
    if not pipeline.settings.slots.uses_slots:
        raise LlinkError(f"the bundle {bundle} has no slots to inspect: it reads raw text")
    first, *others = texts
    count = len(pipeline.segments(first))
    if count > 1:
        raise LlinkError(f"--inspect takes one sentence, and was given {count}: {first!r}")
    result = insight(pipeline, instruction, first, others)
    print_insight(result)
    path = output / PICTURE
    try:
        draw_insight(result, path)
    except OSError as error:
        raise disk_refused("the", path, error, "name another place with --output") from error
    return {"job": "inspect", "bundle": str(bundle), "picture": str(path), **result.as_dict()}
