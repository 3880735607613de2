"""``jobs/evaluate.py --bundle … --corpus …`` and ``--untrained``: measure on held-out text, without Ray."""

from __future__ import annotations

import hashlib
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from llink_ray.evaluation.held_out.figure_document import figure_document
from llink_ray.evaluation.held_out.figures import collect
from llink_ray.evaluation.held_out.measure import Measurement
from llink_ray.evaluation.held_out.plan import HeldOutRequest, MeasurementPlan, context_filter, make_plan
from llink_ray.evaluation.held_out.report import held_out_tables, write_report
from llink_ray.evaluation.held_out.result_cache import ResultCache
from llink_ray.evaluation.held_out.settings import MeasureSettings
from llink_ray.evaluation.held_out.systems import ModelCache
from llink_ray.evaluation.held_out.text import HeldOutText, held_out_text
from llink_ray.evaluation.table import print_tables
from llink_ray.settings import configure
from llink_ray.stopping import resumable

FOLDER, PARTS = "measured", "parts"
Say = Callable[[str], None]


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def run(request: HeldOutRequest, say: Say = _say) -> dict[str, Any]:
    """Measure, print the tables, write report and figures; returns the job's document.

    Raises:
        LlinkError: the request is wrong.
        JobFailed: it could not be carried out.
        KeyboardInterrupt: stopped by the user; its text says what is kept.
    """
    started = time.monotonic()
    plan, settings, text = prepare(request)
    output = Path(request.output or "runs") / FOLDER
    folder = output / _name(text, plan, settings)
    say(f"{', '.join(s.name for s in plan.systems)} on {len(text.pairs)} pairs of {text.path}")
    cache = ResultCache(output / PARTS)
    with resumable(
        lambda: f"what was measured is kept in {cache.folder}: the same command goes on from there"
    ):
        document, answers = _measure(plan, text, settings, cache, say)
    document |= {
        "run_dir": str(folder),
        "parts_computed": cache.computed,
        "seconds": round(time.monotonic() - started, 1),
    }
    write_report(folder, document, answers)
    print_tables(held_out_tables(document))
    return document


def prepare(request: HeldOutRequest) -> tuple[MeasurementPlan, MeasureSettings, HeldOutText]:
    """What is measured, how, and on which text.

    Raises:
        LlinkError: the request is wrong.
    """
    settings = configure.load_settings(MeasureSettings, None, request.measure).limited(request.limit)
    plan = make_plan(request)
    assert request.corpus is not None, "make_plan() refuses it"
    fits = context_filter(plan.models, settings)
    return (
        plan,
        settings,
        held_out_text(request.corpus, plan.models.language, plan.seen, fits, settings.seed),
    )


def _measure(
    plan: MeasurementPlan, text: HeldOutText, settings: MeasureSettings, cache: ResultCache, say: Say
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The figures as a document, and every translation with its reference."""
    measurement = Measurement(text.pairs, settings, cache, ModelCache(), say)
    figures, answers = collect(measurement, plan.systems, plan.encoders)
    roles = {system.name: str(system.role) for system in plan.systems}
    systems = {s.name: {"role": s.role, "reads": s.reads, **s.about} for s in plan.systems}
    if "retrieval" in settings.tasks:
        systems |= {n: {"role": "encoder", "encoder": m.encoder.model} for n, m in plan.encoders.items()}
    document = {
        "job": "measure",
        "language": plan.models.language.code,
        "corpus": text.as_dict(),
        "models": plan.models.as_dict(),
        "systems": systems,
        "figures": {f.name: figure_document(f, roles, text.pairs, settings) for f in figures},
        "settings": settings.model_dump(mode="json"),
        "seed": settings.seed,
    }
    rows = [
        {
            "text": pair.foreign,
            "english": pair.english,
            "source": pair.source,
            "answers": {name: texts[i] for name, texts in answers.items()},
        }
        for i, pair in enumerate(measurement.translated if answers else ())
    ]
    return document, rows


def _name(text: HeldOutText, plan: MeasurementPlan, settings: MeasureSettings) -> str:
    """The same command finds its folder again; another bundle or setting has another."""
    content = [
        text.corpus_hash,
        [s.identity for s in plan.systems],
        [s.name for s in plan.systems],
        list(plan.encoders),
        settings.model_dump(mode="json"),
    ]
    digest = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:8]
    return f"{plan.models.language.code}-{Path(text.path).stem}-{digest}"
