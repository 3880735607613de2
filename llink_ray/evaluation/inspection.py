"""Show a person what a taught decoder was given for one text: ``jobs/evaluate.py --inspect``."""

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
    """The bundle that answers for a language.

    Raises:
        LlinkError: nothing is published for it.
    """
    if not language:
        raise LlinkError("--inspect needs a decoder: name a bundle with --bundle, or a language with --lang")
    return Registry(registry).fetch(find(language).code)


def look(bundle: Path, instruction: str, texts: list[str], output: Path) -> dict[str, Any]:
    """Print and draw what was given for the first of ``texts``, beside the others; returns it as a document.

    Raises:
        LlinkError: no such bundle, an empty text, or a decoder that was taught without slots.
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
    taught = load(bundle)
    if not taught.settings.slots.uses_slots:
        raise LlinkError(f"the bundle {bundle} has no slots to look at: it reads raw text")
    first, *others = texts
    if len(taught.segments(first)) > 1:
        raise LlinkError(
            f"--inspect looks at one sentence, and was given {len(taught.segments(first))}: {first!r}"
        )
    seen = insight(taught, instruction, first, others)
    print_insight(seen)
    path = output / PICTURE
    try:
        draw_insight(seen, path)
    except OSError as error:
        raise disk_refused("the", path, error, "name another place with --output") from error
    return {"job": "inspect", "bundle": str(bundle), "picture": str(path), **seen.as_dict()}
