"""One small Ray for all tests that need one, and an environment that is the same everywhere."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, settings

from llink_ray.network import no_proxy_variables

if TYPE_CHECKING:
    from model_zoo import Lesson

# A busy machine is no failure.
settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("patient")

# A shell that starts something in the background has it ignore Ctrl-C, and children inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)

os.environ.update(no_proxy_variables())  # what tests start here is asked directly
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")


@pytest.fixture(scope="session")
def ray_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Ray with two CPUs, whatever the machine has; ``connect`` inside a test joins it."""
    from llink_ray.cluster.local_ray import connect

    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("RAY_ADDRESS", raising=False)
        with connect(None, tmp_path_factory.mktemp("ray"), num_cpus=2):
            yield


@pytest.fixture(scope="session")
def zoo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory for each family, and the encoders ``bert`` and ``sentence-bert``."""
    from model_zoo import FAMILIES, write_bert, write_decoder, write_sentence_bert

    root = tmp_path_factory.mktemp("zoo")
    for family in FAMILIES:
        write_decoder(root / family, family)
    write_sentence_bert(root / "sentence-bert", write_bert(root / "bert"))
    return root


@pytest.fixture(scope="session")
def lesson(zoo: Path) -> Callable[[str], Lesson]:
    """Decoder's name -> its training with an encoder of another kind; ``embedded`` is the package's own."""
    from model_zoo import learn, small_settings

    encoders = {"qwen2": "bert", "gpt-neox": "sentence-bert", "gpt2": "sentence-bert"}

    @cache
    def of(name: str) -> Lesson:
        encoder = encoders.get(name, "embedded")
        settings = small_settings(
            "embedded" if encoder == "embedded" else str(zoo / encoder),
            "embedded" if name == "embedded" else str(zoo / name),
            encoder={"pooling": "mean"} if encoder == "bert" else {},
            slots={"variant": "mean"} if name == "gpt-neox" else {},
        )
        return learn(settings)

    return of
