"""How every command of ``jobs/`` ends: one JSON line on stdout, or a sentence on stderr and an exit code."""

from __future__ import annotations

import json
import os
import sys
import warnings
from collections.abc import Callable, Mapping
from contextlib import redirect_stdout
from typing import Any

from llink_ray.errors import LlinkError
from llink_ray.network import no_proxy_variables
from llink_ray.progress import progress_output
from llink_ray.stopping import stoppable


def quiet() -> None:
    """Silence the libraries (telemetry, proxies for local addresses, warnings) before they are imported."""
    os.environ.update(no_proxy_variables())
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    os.environ.setdefault("HF_HUB_VERBOSITY", "error")
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    warnings.simplefilter("ignore", FutureWarning)  # addressed to programmers


def assignments(flags: Mapping[str, Any], assigned: list[str] | None) -> list[str]:
    """Flags of settings as ``KEY=VALUE``, then those of ``--set``, which take precedence."""
    return [
        *(f"{key}={json.dumps(value)}" for key, value in flags.items() if value is not None),
        *(assigned or []),
    ]


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def carry_out(job: Callable[[], dict[str, Any]]) -> int:
    """Run a job to its last line.

    Returns:
        The exit code: 0, 1 for a failure, 2 for wrong use, 130 for Ctrl-C, 143 for SIGTERM.
    """
    with stoppable() as stop:
        try:
            # Ray reports lost workers on stdout, which is for the last line.
            with redirect_stdout(sys.stderr), progress_output(_say):
                document = job()
        except (Exception, KeyboardInterrupt) as error:
            # A signal to all processes also ends Ray; the errors that follow are no failure.
            if stop.number or isinstance(error, KeyboardInterrupt):
                resume = str(error) if isinstance(error, KeyboardInterrupt) else ""
                print(
                    "\nstopped",
                    *filter(None, [resume or stop.hint]),
                    sep="\n",
                    file=sys.stderr,
                    flush=True,
                )
                if stop.number:  # all is closed; a normal exit takes seconds to unload the libraries
                    sys.stdout.flush()
                    os._exit(stop.exit_code)
                return stop.exit_code
            if isinstance(error, LlinkError):
                print(f"error: {error}", file=sys.stderr)
                return error.exit_code
            raise
    print(json.dumps(document, ensure_ascii=False), flush=True)
    return 1 if document.get("failed") else 0
