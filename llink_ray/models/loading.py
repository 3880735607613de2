"""Loading models without progress bars and warnings."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def quiet_loading() -> Iterator[None]:
    """No progress bar while weights are loaded, unless a terminal shows it, and no deprecation warnings.

    Progress bars of downloads are not affected.
    """
    from transformers.utils import logging

    def no_bar(_: Any, args: Any, kwargs: Any) -> Any:
        return logging.EmptyTqdm(*args, **kwargs)

    with warnings.catch_warnings():
        # PEFT uses a deprecated name of transformers.
        warnings.filterwarnings("ignore", ".*is_gradient_checkpointing", FutureWarning)
        if sys.stderr.isatty():
            yield
            return
        before = logging.set_tqdm_hook(no_bar)
        try:
            yield
        finally:
            logging.set_tqdm_hook(before)
