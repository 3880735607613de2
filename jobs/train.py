"""Teach languages to a frozen English decoder, end to end, on Ray.

    python jobs/train.py --lang=tibetan
    python jobs/train.py --lang=khmer --corpus pairs.tsv
    ray job submit --working-dir . -- python jobs/train.py --lang=tibetan,khmer

Progress and tables go to stderr; the last line on stdout is one JSON document.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # a submitted job is not installed

import typer

from llink_ray.bundles.base import BASE
from llink_ray.cluster.command import assignments, carry_out, quiet
from llink_ray.cluster.job import Request, run

WHAT, HOW, WHERE = "What to teach", "How", "Where"

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode="rich")


@app.command(help="Teach languages to a frozen English decoder: both stages of LLINK, on Ray.")
def main(
    lang: Annotated[
        str,
        typer.Option(help="Names or codes, with commas between; 'all' embedded ones.", rich_help_panel=WHAT),
    ] = "",
    corpus: Annotated[
        str | None,
        typer.Option(
            help="Parallel text, TSV or JSONL. (else: the embedded phrasebook)", rich_help_panel=WHAT
        ),
    ] = None,
    encoder: Annotated[
        str | None, typer.Option(help="Sentence encoder: hub id or directory.", rich_help_panel=WHAT)
    ] = None,
    decoder: Annotated[
        str | None, typer.Option(help="English decoder: hub id or directory.", rich_help_panel=WHAT)
    ] = None,
    preset: Annotated[
        str | None, typer.Option(help="Recipe to start from. (else: chosen by hardware)", rich_help_panel=HOW)
    ] = None,
    init_from: Annotated[
        str | None,
        typer.Option(help="Start from a bundle's directory, or 'base', the shared one.", rich_help_panel=HOW),
    ] = None,
    slots: Annotated[int | None, typer.Option(help="K, soft slots a sentence.", rich_help_panel=HOW)] = None,
    num_workers: Annotated[int | None, typer.Option(help="Ray Train workers.", rich_help_panel=HOW)] = None,
    zero_stage: Annotated[
        int | None, typer.Option(help="DeepSpeed ZeRO: 0 to 3.", rich_help_panel=HOW)
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Same seed, same result.", rich_help_panel=HOW)] = None,
    settings: Annotated[
        str | None, typer.Option(help="YAML file over the preset.", rich_help_panel=HOW)
    ] = None,
    assign: Annotated[
        list[str] | None, typer.Option("--set", help="KEY=VALUE, any setting.", rich_help_panel=HOW)
    ] = None,
    resume: Annotated[
        str | None, typer.Option(help="Go on with this run directory.", rich_help_panel=WHERE)
    ] = None,
    output: Annotated[
        str | None, typer.Option(help="Folder of runs. (else: runs)", rich_help_panel=WHERE)
    ] = None,
    registry: Annotated[
        str | None,
        typer.Option(help="Path or URI to publish to. (else: OUTPUT/registry)", rich_help_panel=WHERE),
    ] = None,
    publish: Annotated[bool, typer.Option(help="Publish the bundle.", rich_help_panel=WHERE)] = True,
    address: Annotated[
        str | None,
        typer.Option(help="Ray cluster. (else: RAY_ADDRESS, or a local one)", rich_help_panel=WHERE),
    ] = None,
    check_only: Annotated[
        bool, typer.Option("--check-only", help="Check everything, train nothing.", rich_help_panel=WHERE)
    ] = False,
) -> None:
    """Read the command line; see the module's docstring."""
    flags: dict[str, Any] = {
        "corpus.path": corpus if corpus is None else str(Path(corpus).expanduser().absolute()),
        "encoder.model": encoder,
        "decoder.model": decoder,
        "init_from": init_from
        if init_from in (None, BASE)
        else str(Path(str(init_from)).expanduser().absolute()),
        "slots.count": slots,
        "cluster.num_workers": num_workers,
        "deepspeed.zero_stage": zero_stage,
        "seed": seed,
    }
    request = Request(
        languages=lang,
        preset=preset,
        settings_file=settings,
        assignments=assignments(flags, assign),
        resume=resume,
        output=output,
        registry=registry,
        publish=publish,
        address=address,
        check_only=check_only,
    )
    raise typer.Exit(carry_out(lambda: run(request)))


if __name__ == "__main__":
    quiet()
    app()
