"""``jobs/evaluate.py --bundle … --corpus …`` and ``--untrained``: measure on held-out text, without Ray."""

from __future__ import annotations

import hashlib
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from llink_ray.evaluation.real.collect import collect
from llink_ray.evaluation.real.measure import Measurement
from llink_ray.evaluation.real.report import print_measured, write_measured
from llink_ray.evaluation.real.request import Contest, HeldOutRequest, compared, fitting
from llink_ray.evaluation.real.result_cache import Kept
from llink_ray.evaluation.real.settings import MeasureSettings
from llink_ray.evaluation.real.shares import told
from llink_ray.evaluation.real.systems import Holder
from llink_ray.evaluation.real.text import HeldOutText, held_out_text
from llink_ray.settings import configure
from llink_ray.stopping import resumable

FOLDER, PARTS = "measured", "parts"


def run(asked: HeldOutRequest, say: Callable[[str], None] | None = None) -> dict[str, Any]:
    """Measure, print the tables, write report and figures; returns the job's document.

    Raises:
        LlinkError: what was asked is wrong.
        JobFailed: it could not be done.
        KeyboardInterrupt: stopped by the person; its text says what is kept.
    """
    say = say or _say
    started = time.monotonic()
    settings = configure.load_settings(MeasureSettings, None, asked.measure)
    settings = settings.limited(asked.limit)
    contest = compared(asked)
    assert asked.corpus is not None, "compared() refuses it"
    text = held_out_text(
        asked.corpus, contest.models.language, contest.seen, fitting(contest.models, settings), settings.seed
    )
    output = Path(asked.output or "runs") / FOLDER
    folder = output / _name(asked.corpus, contest, text, settings)
    say(f"{', '.join(s.name for s in contest.systems)} on {len(text.pairs)} pairs of {asked.corpus}")
    kept = Kept(output / PARTS)
    with resumable(
        lambda: f"what was measured is kept in {kept.folder}: the same command goes on from there"
    ):
        document, answers = measured(contest, text, settings, kept, say)
    final = {
        **document,
        "run_dir": str(folder),
        "parts_computed": kept.computed,
        "seconds": round(time.monotonic() - started, 1),
    }
    write_measured(folder, final, answers)
    print_measured(final)
    return final


def measured(
    contest: Contest, text: HeldOutText, settings: MeasureSettings, kept: Kept, say: Callable[[str], None]
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The figures as a document, and every translation with its reference."""
    measurement = Measurement(text.pairs, settings, kept, Holder(), say)
    figures, answers = collect(measurement, contest.systems, contest.encoders)
    roles = {system.name: str(system.role) for system in contest.systems}
    systems = {s.name: {"role": s.role, "reads": s.reads, **s.about} for s in contest.systems}
    if "retrieval" in settings.tasks:
        systems |= {n: {"role": "encoder", "encoder": m.encoder.model} for n, m in contest.encoders.items()}
    document = {
        "job": "measure",
        "language": contest.models.language.code,
        "corpus": text.as_dict(),
        "models": contest.models.as_dict(),
        "systems": systems,
        "figures": {f.name: told(f, roles, text.pairs, settings) for f in figures},
        "settings": settings.model_dump(mode="json"),
        "seed": settings.seed,
    }
    rows = [
        {
            "text": pair.foreign,
            "english": pair.english,
            "source": pair.source,
            "answers": {name: given[place] for name, given in answers.items()},
        }
        for place, pair in enumerate(measurement.translated if answers else ())
    ]
    return document, rows


def _name(corpus: str, contest: Contest, text: HeldOutText, settings: MeasureSettings) -> str:
    """The same command finds its folder again; another bundle or setting has another."""
    about = [
        text.corpus_hash,
        [s.identity for s in contest.systems],
        [s.name for s in contest.systems],
        list(contest.encoders),
        settings.model_dump(mode="json"),
    ]
    digest = hashlib.sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()[:8]
    return f"{contest.models.language.code}-{Path(corpus).stem}-{digest}"


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
