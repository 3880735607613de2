"""A chat in the browser over the service's HTTP API, until Ctrl-C.

python -m ui
python -m ui --api https://llink.example.org --port 7861 --votes votes.jsonl
python -m ui --start-api --teach all
"""

from __future__ import annotations

import os
import signal
import sys
from contextlib import ExitStack
from typing import Annotated, Any

import typer

from llink_ray.cluster.command import assignments
from llink_ray.errors import LlinkError
from llink_ray.network import no_proxy_variables

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode="rich")


@app.command(help="A chat in the browser over the service's HTTP API.")
def main(
    api: Annotated[str | None, typer.Option(help="The service. (else: http://127.0.0.1:8000)")] = None,
    host: Annotated[str | None, typer.Option(help="Address to listen on. (else: 127.0.0.1)")] = None,
    port: Annotated[int | None, typer.Option(help="Port, 0 for a free one. (else: 7860)")] = None,
    root_path: Annotated[str | None, typer.Option(help="Prefix that a proxy takes off, e.g. /chat.")] = None,
    key_file: Annotated[
        str | None, typer.Option(help="File with the service's key. (else: LLINK_API_KEY)")
    ] = None,
    login_file: Annotated[
        str | None, typer.Option(help="File with name:password, one a line. (else: LLINK_UI_LOGIN)")
    ] = None,
    votes: Annotated[str | None, typer.Option(help="File for votes. (else: none is kept)")] = None,
    start_api: Annotated[
        bool,
        typer.Option("--start-api", help="Start the service here if it isn't up; it ends with the chat."),
    ] = False,
    teach: Annotated[
        str, typer.Option(help="With --start-api: teach these languages first, if missing; 'all' embedded.")
    ] = "",
    settings: Annotated[str | None, typer.Option(help="YAML file.")] = None,
    assign: Annotated[list[str] | None, typer.Option("--set", help="KEY=VALUE, any setting.")] = None,
) -> None:
    """Read the command line; see the module's docstring."""
    flags: dict[str, Any] = {
        "api": api,
        "host": host,
        "port": port,
        "root_path": root_path,
        "key_file": key_file,
        "login_file": login_file,
        "votes": votes,
    }
    try:
        run(settings, assignments(flags, assign), start_api, teach)
    except LlinkError as error:
        print(f"error: {error}", file=sys.stderr)
        raise typer.Exit(error.exit_code) from None
    except KeyboardInterrupt:
        print("\nstopped", file=sys.stderr)
        raise typer.Exit(130) from None


def run(file: str | None, assigned: list[str], start_api: bool, teach: str = "") -> None:
    """Check everything, then serve the page until a signal ends it.

    Raises:
        LlinkError: wrong settings, a port that is taken, or an API that cannot be started.
    """
    from ui.settings import api_key, logins, resolve

    settings = resolve(file, assigned)
    from ui import server
    from ui.api_client import ApiClient
    from ui.start_api import running_api
    from ui.vote_file import VoteFile

    # SIGTERM unwinds the stack, so that a service that was started here is ended, too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    VoteFile(settings.votes)  # fails early where votes cannot be kept
    listener = server.listen(settings)
    print("starting the chat", file=sys.stderr, flush=True)  # what follows imports for seconds
    with ExitStack() as stack:
        stack.callback(listener.close)
        if start_api:
            stack.enter_context(running_api(settings.api, *(("--teach", teach) if teach else ())))
        server.serve(settings, ApiClient(settings.api, api_key(settings)), logins(settings), listener)


def keep_offline() -> None:
    """Keep gradio from contacting other hosts; call this before it is imported."""
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    os.environ["GRADIO_RUN_HISTORY"] = "False"
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    os.environ.update(no_proxy_variables())


if __name__ == "__main__":
    keep_offline()
    app()
