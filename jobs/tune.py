"""Search for the best settings of a language, or of several, on Ray Tune.

    python jobs/tune.py --lang=tibetan --space=smoke --trials=4
    python jobs/tune.py --lang=tibetan,khmer --space=projector --trials=32
    python jobs/tune.py --lang=tibetan --space=slots --objective=answers.exact,slots
    ray job submit --working-dir . -- python jobs/tune.py --lang=all --space=projector --joint

Progress and tables go to stderr; the last line on stdout is one JSON document.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # a submitted job is not installed

import typer

from llink_ray.cluster.command import assignments, carry_out, quiet
from llink_ray.cluster.job import Request
from llink_ray.cluster.sweep import Sweep, sweep

SPACES = Path(__file__).resolve().parents[1] / "tune_spaces"
WHAT, HOW, FIXED, WHERE = "What to search", "How", "What is not searched", "Where"

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode="rich")


@app.command(help="Search for the best settings, on Ray Tune.")
def main(
    lang: Annotated[
        str,
        typer.Option(help="Names or codes, with commas between; 'all' embedded ones.", rich_help_panel=WHAT),
    ] = "",
    space: Annotated[
        str | None,
        typer.Option(
            help="projector, slots, joint, smoke, or a Python file. (else: projector)", rich_help_panel=WHAT
        ),
    ] = None,
    objective: Annotated[
        str | None,
        typer.Option(
            help="A figure, or several with commas. (else: retrieval.r1, or answers.exact)",
            rich_help_panel=WHAT,
        ),
    ] = None,
    joint: Annotated[
        bool, typer.Option("--joint", help="One setting for all languages.", rich_help_panel=WHAT)
    ] = False,
    trials: Annotated[
        int | None,
        typer.Option(min=1, help="Trials of each language. (else: 16, or the grid's)", rich_help_panel=HOW),
    ] = None,
    algorithm: Annotated[str, typer.Option(help="tpe, random or grid.", rich_help_panel=HOW)] = "tpe",
    scheduler: Annotated[
        str | None, typer.Option(help="asha or none. (else: asha for one objective)", rich_help_panel=HOW)
    ] = None,
    looks: Annotated[int, typer.Option(min=1, help="Evaluations in each stage.", rich_help_panel=HOW)] = 10,
    seed: Annotated[int | None, typer.Option(help="Same seed, same search.", rich_help_panel=HOW)] = None,
    at_a_time: Annotated[
        int | None, typer.Option(min=1, help="Trials at a time. (else: what fits)", rich_help_panel=HOW)
    ] = None,
    cpus_per_trial: Annotated[
        float | None, typer.Option(help="CPUs of each worker of a trial.", rich_help_panel=HOW)
    ] = None,
    gpus_per_trial: Annotated[
        float | None, typer.Option(help="GPUs of the same; a fraction shares one.", rich_help_panel=HOW)
    ] = None,
    corpus: Annotated[
        str | None,
        typer.Option(help="Parallel text, TSV or JSONL. (else: the phrasebook)", rich_help_panel=FIXED),
    ] = None,
    encoder: Annotated[
        str | None, typer.Option(help="Sentence encoder: hub id or directory.", rich_help_panel=FIXED)
    ] = None,
    decoder: Annotated[
        str | None, typer.Option(help="English decoder: hub id or directory.", rich_help_panel=FIXED)
    ] = None,
    preset: Annotated[
        str | None,
        typer.Option(help="Recipe to start from. (else: chosen by hardware)", rich_help_panel=FIXED),
    ] = None,
    settings: Annotated[
        str | None, typer.Option(help="YAML file over the preset.", rich_help_panel=FIXED)
    ] = None,
    assign: Annotated[
        list[str] | None, typer.Option("--set", help="KEY=VALUE, any setting.", rich_help_panel=FIXED)
    ] = None,
    resume: Annotated[
        str | None, typer.Option(help="Go on with this sweep's directory.", rich_help_panel=WHERE)
    ] = None,
    output: Annotated[
        str | None, typer.Option(help="Folder of runs. (else: runs)", rich_help_panel=WHERE)
    ] = None,
    address: Annotated[
        str | None,
        typer.Option(help="Ray cluster. (else: RAY_ADDRESS, or a local one)", rich_help_panel=WHERE),
    ] = None,
) -> None:
    """Read the command line; see the module's docstring."""
    flags: dict[str, Any] = {
        "corpus.path": corpus if corpus is None else str(Path(corpus).expanduser().absolute()),
        "encoder.model": encoder,
        "decoder.model": decoder,
        "cluster.cpus_per_worker": cpus_per_trial,
        "cluster.gpus_per_worker": gpus_per_trial,
        "seed": seed,
    }
    request = Request(
        languages=lang,
        preset=preset,
        settings_file=settings,
        assignments=assignments(flags, assign),
        output=output,
        address=address,
        publish=False,
    )
    asked = Sweep(
        request=request,
        space=space,
        spaces=SPACES,
        trials=trials,
        algorithm=algorithm,
        scheduler=scheduler,
        objective=objective,
        joint=joint,
        at_a_time=at_a_time,
        looks=looks,
        resume=resume,
    )
    raise typer.Exit(carry_out(lambda: sweep(asked)))


if __name__ == "__main__":
    quiet()
    app()
