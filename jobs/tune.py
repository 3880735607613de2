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
from llink_ray.cluster.sweep import SweepRequest, sweep

SPACES = Path(__file__).resolve().parents[1] / "tune_spaces"


def what(text: str, *names: str) -> Any:
    """An option that says what is searched."""
    return typer.Option(*names, help=text, rich_help_panel="What to search")


def how(text: str, *names: str, **limits: Any) -> Any:
    """An option that says how."""
    return typer.Option(*names, help=text, rich_help_panel="How", **limits)


def fixed(text: str, *names: str) -> Any:
    """An option that is the same in all trials."""
    return typer.Option(*names, help=text, rich_help_panel="What is not searched")


def where(text: str) -> Any:
    """An option that says where."""
    return typer.Option(help=text, rich_help_panel="Where")


app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode="rich")


@app.command(help="Search for the best settings, on Ray Tune.")
def main(
    lang: Annotated[str, what("Names or codes, with commas between; 'all' embedded ones.")] = "",
    space: Annotated[
        str | None, what("projector, slots, joint, smoke, or a Python file. (else: projector)")
    ] = None,
    objective: Annotated[
        str | None, what("A figure, or several with commas. (else: retrieval.r1, or answers.exact)")
    ] = None,
    joint: Annotated[bool, what("One setting for all languages.", "--joint")] = False,
    trials: Annotated[int | None, how("Trials of each language. (else: 16, or the grid's)", min=1)] = None,
    algorithm: Annotated[str, how("tpe, random or grid.")] = "tpe",
    scheduler: Annotated[str | None, how("asha or none. (else: asha for one objective)")] = None,
    evaluations: Annotated[int, how("In each stage.", "--evaluations", "--looks", min=1)] = 10,
    seed: Annotated[int | None, how("Same seed, same search.")] = None,
    max_concurrent: Annotated[
        int | None, how("Trials at a time. (else: what fits)", "--max-concurrent", "--at-a-time", min=1)
    ] = None,
    cpus_per_trial: Annotated[float | None, how("CPUs of each worker of a trial.")] = None,
    gpus_per_trial: Annotated[float | None, how("GPUs of the same; a fraction shares one.")] = None,
    corpus: Annotated[str | None, fixed("Parallel text, TSV or JSONL. (else: the phrasebook)")] = None,
    encoder: Annotated[str | None, fixed("Sentence encoder: hub id or directory.")] = None,
    decoder: Annotated[str | None, fixed("English decoder: hub id or directory.")] = None,
    preset: Annotated[str | None, fixed("Recipe to start from. (else: chosen by hardware)")] = None,
    settings: Annotated[str | None, fixed("YAML file over the preset.")] = None,
    assign: Annotated[list[str] | None, fixed("KEY=VALUE, any setting.", "--set")] = None,
    resume: Annotated[str | None, where("Go on with this sweep's directory.")] = None,
    output: Annotated[str | None, where("Folder of runs. (else: runs)")] = None,
    address: Annotated[str | None, where("Ray cluster. (else: RAY_ADDRESS, or a local one)")] = None,
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
    request = SweepRequest(
        training=Request(
            languages=lang,
            preset=preset,
            settings_file=settings,
            assignments=assignments(flags, assign),
            output=output,
            address=address,
            publish=False,
        ),
        space=space,
        spaces=SPACES,
        trials=trials,
        algorithm=algorithm,
        scheduler=scheduler,
        objective=objective,
        joint=joint,
        max_concurrent=max_concurrent,
        evaluations=evaluations,
        resume=resume,
    )
    raise typer.Exit(carry_out(lambda: sweep(request)))


if __name__ == "__main__":
    quiet()
    app()
