"""Loading without noise."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def plainly() -> Iterator[None]:
    """Weights are loaded without a bar, unless a terminal shows it, and without notes to other programmers.

    Bars of downloads are not these.
    """
    from transformers.utils import logging

    def none(_: Any, given: Any, named: Any) -> Any:
        return logging.EmptyTqdm(*given, **named)

    with warnings.catch_warnings():
        # PEFT asks transformers for something by a name that will go.
        warnings.filterwarnings("ignore", ".*is_gradient_checkpointing", FutureWarning)
        if sys.stderr.isatty():
            yield
            return
        before = logging.set_tqdm_hook(none)
        try:
            yield
        finally:
            logging.set_tqdm_hook(before)
