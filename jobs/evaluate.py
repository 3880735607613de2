"""Compare a trained bundle with baselines, the paper's recipe and ablations, on the same text.

    python jobs/evaluate.py --lang=tibetan --against=base,finetune,paper-recipe
    python jobs/evaluate.py --run runs/bo-tiny-20260102-030405 --against=ablations
    python jobs/evaluate.py --bundle runs/registry/km/v0001 --corpus held-out.tsv
    python jobs/evaluate.py --lang=khmer --untrained --corpus held-out.tsv --preset real
    python jobs/evaluate.py --lang=tibetan --inspect "བྱ་མོས་ཆུ་འཐུང་།"
    python jobs/evaluate.py --votes votes.jsonl
    ray job submit --working-dir . -- python jobs/evaluate.py --lang=tibetan --against=base

The third and fourth measure bundles, or the untrained decoder alone, on anybody's held-out file, between a
floor and a ceiling, without Ray. Parts that are finished are taken as they are, so the same command goes on
after an interruption. Progress and tables go to stderr; the last line on stdout is one JSON document.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # a submitted job is not installed

import typer

from llink_ray.cluster.command import assignments, carry_out, quiet
from llink_ray.cluster.compare import Comparison, compare
from llink_ray.cluster.job import Request
from llink_ray.errors import LlinkError
from llink_ray.evaluation.baselines import expand
from llink_ray.evaluation.held_out.job import run as measure
from llink_ray.evaluation.held_out.plan import HeldOutRequest
from llink_ray.evaluation.human_votes import report_votes
from llink_ray.evaluation.inspection import bundle_of, inspect_bundle
from llink_ray.evaluation.judge import JudgeSettings
from llink_ray.prompts.instructions import TRANSLATE_INSTRUCTION
from llink_ray.settings import configure

WHAT, OURS, JUDGE, WHERE = "What to compare", "Our run, where it is trained first", "Judge", "Where"
HELD_OUT, INSPECT = "Measure on held-out text instead, with --corpus", "Inspect one text instead"


def option(panel: str, help_line: str, *names: str, **settings: Any) -> Any:
    """An option in a panel of the help page."""
    return typer.Option(*names, help=help_line, rich_help_panel=panel, **settings)


Text = str | None
Texts = list[str] | None
app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode="rich")


@app.command(help="Compare a trained bundle with others, or measure it on held-out text.")
def main(
    lang: Annotated[str, option(WHAT, "Names or codes, with commas between; 'all' embedded ones.")] = "",
    against: Annotated[
        str, option(WHAT, "base, finetune, paper-recipe, k4, no-usage, …; baselines; ablations.")
    ] = "baselines",
    run: Annotated[Text, option(WHAT, "Run directory of ours. (else: trained first)")] = None,
    preset: Annotated[Text, option(OURS, "Recipe to start from. (else: chosen by hardware)")] = None,
    corpus: Annotated[Text, option(OURS, "Parallel text, TSV or JSONL. (else: the phrasebook)")] = None,
    encoder: Annotated[Text, option(OURS, "Sentence encoder: hub id or directory.")] = None,
    decoder: Annotated[Text, option(OURS, "English decoder: hub id or directory.")] = None,
    seed: Annotated[int | None, option(OURS, "Same seed, same result.")] = None,
    settings: Annotated[Text, option(OURS, "YAML file over the preset.")] = None,
    assign: Annotated[Texts, option(OURS, "KEY=VALUE, any setting.", "--set")] = None,
    judge: Annotated[str, option(JUDGE, "reference, endpoint or none.")] = "reference",
    judge_set: Annotated[Texts, option(JUDGE, "KEY=VALUE: url, model, key_env, …")] = None,
    max_judgements: Annotated[int | None, option(JUDGE, "Pairs of answers judged, at most.")] = None,
    votes: Annotated[Text, option(JUDGE, "Only report what people voted: the chat's file.")] = None,
    bundle: Annotated[Texts, option(HELD_OUT, "Bundle to measure; again, to compare several.")] = None,
    untrained: Annotated[
        bool, option(HELD_OUT, "No bundle: floor, ceiling and encoder.", "--untrained")
    ] = False,
    limit: Annotated[int | None, option(HELD_OUT, "Examples of each task, at most.", min=1)] = None,
    metric: Annotated[Text, option(HELD_OUT, "Sentence encoder that compares translations too.")] = None,
    measure_set: Annotated[
        Texts, option(HELD_OUT, "KEY=VALUE: tasks, translations, choices, near_miss.prior, …")
    ] = None,
    inspect: Annotated[
        Texts,
        option(INSPECT, "Text: what does the decoder, of --bundle or --lang, read? Again, to compare."),
    ] = None,
    instruction: Annotated[str, option(INSPECT, "What to ask of it.")] = TRANSLATE_INSTRUCTION,
    output: Annotated[Text, option(WHERE, "Folder of runs. (else: runs)")] = None,
    address: Annotated[Text, option(WHERE, "Ray cluster. (else: RAY_ADDRESS, or a local one)")] = None,
) -> None:
    """Read the command line; see the module's docstring."""
    flags: dict[str, Any] = {
        "corpus.path": corpus if corpus is None else str(Path(corpus).expanduser().absolute()),
        "encoder.model": encoder,
        "decoder.model": decoder,
        "seed": seed,
    }

    def job() -> dict[str, Any]:
        if votes is not None:
            return report_votes(votes)
        if inspect:
            folder = Path(output or "runs")
            if bundle and len(bundle) > 1:
                raise LlinkError("--inspect takes one bundle: give --bundle once")
            chosen = Path(bundle[0]) if bundle else bundle_of(lang, str(folder / "registry"))
            return inspect_bundle(chosen, instruction, inspect, folder)
        if bundle or untrained:
            if run is not None:
                raise LlinkError("--run compares trained runs: leave it out, or --bundle and --untrained")
            held_out = HeldOutRequest(
                corpus=corpus,
                bundles=bundle or [],
                languages=lang,
                untrained=untrained,
                encoder=encoder,
                decoder=decoder,
                preset=preset,
                settings_file=settings,
                assignments=assign or [],
                measure=assignments({"seed": seed, "metric": metric}, measure_set),
                limit=limit,
                output=output,
            )
            return measure(held_out)
        request = Request(
            languages=lang,
            preset=preset,
            settings_file=settings,
            assignments=assignments(flags, assign),
            output=output,
            publish=False,
            address=address,
        )
        limits = assignments({"max_judgements": max_judgements}, judge_set)
        judge_assignments = [f"backend={judge}", *limits]
        judging = None if judge == "none" else configure.load_settings(JudgeSettings, None, judge_assignments)
        return compare(Comparison(request, expand(against), run, judging))

    raise typer.Exit(carry_out(job))


if __name__ == "__main__":
    quiet()
    app()
