"""Made-up sweeps write thousands of lines: none of them needs to survive the machine itself."""

from __future__ import annotations

import pytest


@pytest.fixture(autouse=True, scope="package")
def _no_waiting_for_the_disk() -> object:
    """Kills of the process are tested here, losses of power are not."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("os.fsync", lambda _: None)
        yield
