"""Real models on real sentences, before anything was trained here: what the shared base reads.

    python jobs/demo_real.py
    python jobs/demo_real.py --lang=nepali --corpus pairs.tsv     # then teach one language from the base

The base is published for the languages shown, so `make chat` can talk to it. With a corpus, one language is
taught from the base, and translations of held-out sentences are compared before and after. Tables go to
stderr; the last line on stdout is one JSON document.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import typer

from llink_ray.cluster.command import carry_out, quiet
from llink_ray.cluster.demo_real import DemoRequest, run

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode="rich")


@app.command(help="Real models on real sentences: what the shared base reads, and what teaching adds.")
def main(
    lang: Annotated[str, typer.Option(help="With --corpus: the language to teach.")] = "",
    corpus: Annotated[str | None, typer.Option(help="Parallel text to teach from, TSV or JSONL.")] = None,
    output: Annotated[Path, typer.Option(help="Folder of runs and of the registry.")] = Path("runs"),
    assign: Annotated[list[str] | None, typer.Option("--set", help="KEY=VALUE, any setting.")] = None,
) -> None:
    """Read the command line; see the module's docstring."""
    request = DemoRequest(lang, corpus, output, assign or [])
    raise typer.Exit(carry_out(lambda: run(request)))


if __name__ == "__main__":
    quiet()
    app()
