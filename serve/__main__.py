"""Serve every language of a registry on this machine, until Ctrl-C.

python -m serve
python -m serve --registry s3://bucket/registry --set http.port=8080
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from pathlib import Path
from typing import Annotated, Any

import typer

from llink_ray.cluster.command import assignments, quiet
from llink_ray.errors import LlinkError

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode="rich")


@app.command(help="Serve every language of a registry over HTTP, on Ray Serve.")
def main(
    registry: Annotated[str | None, typer.Option(help="Path or URI. (else: runs/registry)")] = None,
    host: Annotated[str | None, typer.Option(help="Address to listen on. (else: 127.0.0.1)")] = None,
    port: Annotated[int | None, typer.Option(help="Port. (else: 8000)")] = None,
    settings: Annotated[str | None, typer.Option(help="YAML file.")] = None,
    assign: Annotated[list[str] | None, typer.Option("--set", help="KEY=VALUE, any setting.")] = None,
    address: Annotated[
        str | None, typer.Option(help="Ray cluster. (else: RAY_ADDRESS, or a local one)")
    ] = None,
    teach: Annotated[
        str, typer.Option(help="Teach these languages first, where the registry lacks them; 'all' embedded.")
    ] = "",
) -> None:
    """Read the command line; see the module's docstring."""
    flags: dict[str, Any] = {"registry": registry, "http.host": host, "http.port": port}
    try:
        run(settings, assignments(flags, assign), address, teach)
    except LlinkError as error:
        print(f"error: {error}", file=sys.stderr)
        raise typer.Exit(error.exit_code) from None
    except KeyboardInterrupt:
        print("\nstopped", file=sys.stderr)
        raise typer.Exit(130) from None


def run(file: str | None, assigned: list[str], address: str | None, teach: str) -> None:
    """Start, say where, and stay until told to stop.

    Raises:
        LlinkError: wrong settings, an empty registry, a port that is taken.
    """
    from llink_ray.cluster.local import connect
    from serve.settings import resolve
    from serve.start import serving

    settings = resolve(file, assigned)
    _teach(teach, settings.registry, address)
    where = Path(settings.registry).parent if "://" not in settings.registry else None
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    with connect(address, where / "tmp" if where else None), serving(settings) as base:
        print(f"serving {', '.join(base.models)} on {base.url}, Ctrl-C stops it", file=sys.stderr)
        print(base.url, flush=True)
        while not stop.wait(0.5):
            continue


def _teach(names: str, registry: str, address: str | None) -> None:
    """Have what is missing taught, as ``jobs/train.py`` does it.

    Raises:
        LlinkError: an unknown language, or a training that failed.
    """
    if not names:
        return
    from llink_ray.cluster.job import Request, asked_languages
    from llink_ray.cluster.job import run as train
    from llink_ray.registry import Registry

    known = Registry(registry)
    missing = [
        one.code for one in asked_languages(Request(languages=names), None) if not known.list(one.code)
    ]
    if missing:
        train(Request(languages=",".join(missing), registry=registry, address=address))


if __name__ == "__main__":
    quiet()
    os.environ.setdefault("RAY_SERVE_LOG_TO_STDERR", "0")
    app()
