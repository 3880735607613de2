"""Serve every language of a registry on this machine, until Ctrl-C.

python -m serve
python -m serve --registry s3://bucket/registry --set http.port=8080
"""

from __future__ import annotations

import signal
import sys
import time
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


def run(file: str | None, overrides: list[str], address: str | None, teach: str) -> None:
    """Start, print the address, and serve until a signal.

    Raises:
        LlinkError: wrong settings, an empty registry, a port that is taken.
    """
    from serve.settings import resolve
    from serve.start import print_status, require_startable

    settings = resolve(file, overrides)
    require_startable(settings)  # what follows takes a while
    print_status(f"starting the service over {settings.registry}: a minute, on two processors")
    from serve.app import application
    from serve.start import cluster, serving

    _teach(teach, settings.registry, address)
    application(settings)  # raises what is wrong with it before Ray is started
    folder = Path(settings.registry).parent / "tmp" if "://" not in settings.registry else None
    _exit_at_sigterm()
    with cluster(address, folder):
        _exit_at_sigterm()  # Ray has replaced the handler by one that leaves the service no time
        with serving(settings) as service:
            print_status(f"serving {', '.join(service.models)} on {service.url}, Ctrl-C stops it")
            print(service.url, flush=True)
            while True:
                time.sleep(60)


def _exit_at_sigterm() -> None:
    """Exit in order, also while starting; later signals are ignored so as not to interrupt that."""

    def handle(*_: object) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        sys.exit(128 + signal.SIGTERM)

    signal.signal(signal.SIGTERM, handle)


def _teach(names: str, registry: str, address: str | None) -> None:
    """Train the languages that the registry lacks, as ``jobs/train.py`` does.

    Raises:
        LlinkError: an unknown language, or a training that failed.
    """
    if not names:
        return
    from llink_ray.bundles.registry import Registry
    from llink_ray.cluster.job import Request, requested_languages
    from llink_ray.cluster.job import run as train

    known = Registry(registry)
    missing = [
        one.code for one in requested_languages(Request(languages=names), None) if not known.list(one.code)
    ]
    if missing:
        train(Request(languages=",".join(missing), registry=registry, address=address))


if __name__ == "__main__":
    quiet()
    app()
