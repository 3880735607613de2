"""What the decoder can do untrained, in several languages: floor, ceiling, the encoder's own retrieval.

    LLINK_DATA=/data python benchmarks/floors.py --preset real --encoder E --decoder D --limit 60
    LLINK_DATA=/data python benchmarks/floors.py --languages ne,km --part dev --calibrate …
    LLINK_DATA=/data python benchmarks/floors.py --languages ne,lo --base base     # and a shared base

``--data`` (or ``LLINK_DATA``) is a folder with ``qa/sib200/<code>.jsonl``, rows as benchmarks/sib200.py reads
them: the same sentences in every language, each with its topic. They are used for all tasks, but only those
that are usable in every language asked for, so that the English side is the same and its ceiling is computed
once. ``--part`` is their split; whatever is chosen by its outcome belongs on dev or train, so ``--calibrate``
does, which tells of every way to score. Finished parts are kept in ``--output``, and the same command goes on
from there. ``floors.md`` there is the table; the last line on stdout is one JSON document.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import sib200

from llink_ray.bundles.base import BASE, SHIPPED, as_language
from llink_ray.cluster.command import carry_out, quiet
from llink_ray.corpus.clean import clean
from llink_ray.corpus.read import read
from llink_ray.errors import LlinkError
from llink_ray.evaluation.held_out.calibration import calibration, calibration_table
from llink_ray.evaluation.held_out.job import FOLDER, PARTS, prepare, run
from llink_ray.evaluation.held_out.measure import Measurement
from llink_ray.evaluation.held_out.plan import HeldOutRequest
from llink_ray.evaluation.held_out.result_cache import ResultCache, write_text
from llink_ray.evaluation.held_out.systems import ModelCache
from llink_ray.evaluation.report import section
from llink_ray.evaluation.table import Table, format_number, humanize
from llink_ray.settings import CorpusSettings
from llink_ray.stopping import resumable
from llink_ray.text.languages import find


def say(text: str) -> None:
    """Tell the person; stdout is for the last line."""
    print(text, file=sys.stderr, flush=True)


def corpora(folder: Path, codes: Sequence[str], part: str, question: str, output: Path) -> dict[str, str]:
    """Code -> corpus with the rows that are usable in every language.

    Raises:
        LlinkError: a language has no file, or no row is left.
    """
    usable: dict[str, list[dict[str, Any]]] = {}
    for code in codes:
        entries = list(sib200.entries(sib200.rows(folder / f"{code}.jsonl", part), question))
        file = output / "text" / f"{code}-{part}.all.jsonl"
        sib200.write(file, entries)
        kept = {pair.line for pair in clean(read(str(file)), find(code), CorpusSettings()).kept}
        usable[code] = [entry for line, entry in enumerate(entries, 1) if line in kept]
    common = set.intersection(*({entry["english"] for entry in entries} for entries in usable.values()))
    if not common:
        raise LlinkError(f"no sentence of {folder}, split {part}, is usable in all of {', '.join(codes)}")
    found = {}
    for code, entries in usable.items():
        file = output / "text" / f"{code}-{part}.jsonl"
        sib200.write(file, (entry for entry in entries if entry["english"] in common))
        found[code] = str(file)
    return found


def measured(asked: argparse.Namespace, requests: Mapping[str, HeldOutRequest]) -> dict[str, Any]:
    """Floor, ceiling and the encoder in every language, and the table of them."""
    documents = {}
    for code, request in requests.items():
        say(f"== {find(code).name}")
        documents[code] = run(request, say)
    table = languages_table(documents)
    report = asked.output / "floors.md"
    write_text(report, "\n".join(["# Floors and ceilings", "", *section(table)]))
    return {
        "benchmark": "floors",
        "part": asked.part,
        "report": str(report),
        "languages": {
            code: {key: document[key] for key in ("corpus", "figures", "run_dir", "seconds")}
            for code, document in documents.items()
        },
        "models": next(iter(documents.values()))["models"],
        "settings": next(iter(documents.values()))["settings"],
    }


def languages_table(documents: Mapping[str, Mapping[str, Any]]) -> Table:
    """A row for each language and figure."""
    rows = []
    for code, document in documents.items():
        for task, part in document["figures"].items():
            systems = part["systems"]
            roles = {system["role"]: name for name, system in document["systems"].items()}
            named = ("floor", roles.get("bundle", ""), "ceiling", "encoder")
            cells = [format_number(systems.get(name, {}).get("value")) for name in named]
            share = part.get("shares", {}).get(roles.get("bundle", ""), {}).get("ceiling")
            cells.append(f"{share['value']:.2f} [{share['low']:.2f}, {share['high']:.2f}]" if share else "")
            cells.append(format_number(part.get("kept", {}).get(roles.get("adapted", ""))))
            gap = part.get("gaps", {}).get("ceiling")
            between = f"{gap['value']:+.3f} [{gap['low']:+.3f}, {gap['high']:+.3f}]" if gap else ""
            decides = {True: "yes", False: "no"}.get(part.get("decides"), "")
            count, chance = format_number(part["examples"]), format_number(part.get("chance"), 2)
            rows.append((code, humanize(task), count, chance, *cells, between, decides))
    columns = (
        *("language", "task", "n", "chance", "floor", "base", "ceiling", "encoder", "base's share"),
        *("English kept", "ceiling − floor", "decides"),
    )
    return Table("By language", columns, "ll" + "r" * 10, tuple(rows))


def calibrated(asked: argparse.Namespace, requests: Mapping[str, HeldOutRequest]) -> dict[str, Any]:
    """Every way to score every kind of choice, in every language."""
    found, lines = {}, ["# Ways to score", ""]
    for code, request in requests.items():
        plan, settings, text = prepare(request)
        cache = ResultCache(asked.output / FOLDER / PARTS)
        measurement = Measurement(text.pairs, settings, cache, ModelCache(), say)
        found[code] = calibration(measurement, plan.systems)
        lines += [f"# {code}, {asked.part}", "", *section(calibration_table(found[code]))]
    report = asked.output / "calibration.md"
    write_text(report, "\n".join(lines))
    return {"benchmark": "floors", "part": asked.part, "report": str(report), "calibration": found}


def job(asked: argparse.Namespace) -> dict[str, Any]:
    """Measure or calibrate."""
    if asked.data is None:
        raise LlinkError("there is no text to measure on: give --data FOLDER, or set LLINK_DATA")
    folder = asked.data / "qa" / "sib200"
    codes = [find(name).code for name in asked.languages.split(",") if name.strip()]
    codes = codes or sorted(path.stem for path in folder.glob("*.jsonl"))
    if not codes:
        raise LlinkError(f"{folder} holds no .jsonl file: give the folder that has qa/sib200 in it")
    texts = corpora(folder, codes, asked.part, asked.question, asked.output)
    requests = {code: request(asked, code, text) for code, text in texts.items()}
    with resumable(
        lambda: f"what was measured is kept in {asked.output}: the same command goes on from there"
    ):
        return (calibrated if asked.calibrate else measured)(asked, requests)


def request(asked: argparse.Namespace, code: str, text: str) -> HeldOutRequest:
    """What to measure in one language."""
    common = {"corpus": text, "measure": asked.measure_set, "limit": asked.limit, "output": str(asked.output)}
    models = {"encoder": asked.encoder, "decoder": asked.decoder}
    if asked.base:
        base = SHIPPED if asked.base == BASE else Path(asked.base)
        bundle = as_language(base, find(code), asked.output / "bundles" / code)
        return HeldOutRequest(bundles=[str(bundle)], **models, **common)
    return HeldOutRequest(
        languages=code, untrained=True, preset=asked.preset, assignments=asked.set, **models, **common
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    given = os.environ.get("LLINK_DATA")
    parser.add_argument("--data", type=Path, default=Path(given) if given else None)
    parser.add_argument("--languages", default="", help="codes, with commas between (default: all there)")
    parser.add_argument("--part", choices=sib200.SPLITS, default="test", help="(default: test)")
    parser.add_argument("--question", default=sib200.QUESTION, help="about the topic")
    parser.add_argument("--limit", type=int, help="examples of each task, at most")
    parser.add_argument("--calibrate", action="store_true", help="tell of every way to score instead")
    parser.add_argument("--base", help="a shared base, measured too: its directory, or 'base'")
    parser.add_argument("--encoder", help="(default: the preset's, or the language table's)")
    parser.add_argument("--decoder")
    parser.add_argument("--preset", default="real", help="(default: real)")
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="settings of the models"
    )
    parser.add_argument("--measure-set", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--output", type=Path, default=Path("runs/floors"), help="(default: runs/floors)")
    asked = parser.parse_args(arguments)
    return carry_out(lambda: job(asked))


if __name__ == "__main__":
    quiet()
    sys.exit(main())
