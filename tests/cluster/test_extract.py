"""Extraction by Ray processes: same values as in one process, nothing twice, failures in words."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from llink_ray.cluster.extract import extract
from llink_ray.errors import JobFailed, LlinkError
from llink_ray.features import FeatureSpec
from llink_ray.features.extract import extract as extract_here
from llink_ray.features.spec import Dtype, ModelSettings, What
from llink_ray.settings import DecoderSettings, EncoderSettings

TEXTS = tuple("word " * (i % 5 + 1) + str(i) for i in range(22))


@pytest.fixture(autouse=True)
def _workers_get_the_fakes(ray_cluster: None) -> None:
    from ray import cloudpickle

    cloudpickle.register_pickle_by_value(sys.modules[__name__])


class Lengths:
    """State of a text = its length and its last letter; each load leaves a file behind."""

    fingerprint = "f1"

    def token_counts(self, texts: list[str]) -> list[int]:
        return [len(text) for text in texts]

    def encode(self, texts: list[str], with_tokens: bool) -> SimpleNamespace:
        import torch

        return SimpleNamespace(vectors=torch.tensor([[len(t), ord(t[-1])] for t in texts]).float())

    def teacher_states(self, texts: list[str]):  # type: ignore[no-untyped-def]
        return -self.encode(texts, False).vectors


def loader(folder: Path):  # type: ignore[no-untyped-def]
    def load(what: What, settings: ModelSettings, device: str, dtype: Dtype) -> Lengths:
        (folder / f"{what}-{os.getpid()}-{time.monotonic_ns()}").touch()
        return Lengths()

    return load


def specs(texts: tuple[str, ...] = TEXTS, size: int = 6) -> list[FeatureSpec]:
    return [
        FeatureSpec("encoder", texts, EncoderSettings(model="fake"), "f1", size),
        FeatureSpec("teacher", texts, DecoderSettings(model="fake"), "f1", size),
    ]


def test_same_as_in_one_process_and_nothing_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (loads := tmp_path / "loads").mkdir()
    ran = extract(
        str(tmp_path / "ray"),
        [*specs(), *specs()],
        cpus_per_task=0.5,
        max_tasks=2,
        load=loader(loads),
    )
    here = extract_here(str(tmp_path / "here"), specs(), load=loader(tmp_path))
    assert ran.forwards == here.forwards == 8
    for wanted in specs():
        np.testing.assert_array_equal(ran[wanted].vectors[:], here[wanted].vectors[:])
    processes = {path.name.split("-")[1] for path in loads.iterdir()}
    assert str(os.getpid()) not in processes and len(processes) <= 2
    assert len(list(loads.iterdir())) <= 4, "a process loaded a model again for each shard"

    monkeypatch.setattr("ray.remote", lambda **_: pytest.fail("Ray was asked for nothing"))
    again = extract(str(tmp_path / "ray"), specs(), load=lambda *_: pytest.fail("loaded"))
    assert again.forwards == 0
    np.testing.assert_array_equal(ran[specs()[1]].vectors[:], again[specs()[1]].vectors[:])


def test_a_failure_names_the_shard_and_keeps_the_others(tmp_path: Path) -> None:
    class Poisoned(Lengths):
        def encode(self, texts: list[str], with_tokens: bool) -> SimpleNamespace:
            if any(text.endswith(" 21") for text in texts):
                raise RuntimeError("poison\nand more lines")
            return super().encode(texts, with_tokens)

    shards = specs()[0].shards()
    poisoned = next(shard.index for shard in shards if any(text.endswith(" 21") for text in shard.texts))
    said = rf"shard {poisoned + 1} of 4 of the encoder .*RuntimeError: poison\. What"
    with pytest.raises(JobFailed, match=said) as caught:
        extract(str(tmp_path), specs()[:1], max_tasks=1, load=lambda *_: Poisoned())
    assert "\n" not in str(caught.value)
    rest = extract(str(tmp_path), specs()[:1], max_tasks=1, load=lambda *_: Lengths())
    assert rest.forwards == len(shards) - poisoned, "those before it are kept"


def test_a_wrong_use_stays_one(tmp_path: Path) -> None:
    def load(what: What, settings: ModelSettings, device: str, dtype: Dtype) -> Lengths:
        raise LlinkError("encoder 'fake' is gated")

    with pytest.raises(LlinkError, match=r"^encoder 'fake' is gated$") as caught:
        extract(str(tmp_path), specs(), load=load)
    assert caught.value.exit_code == 2


def test_a_killed_process_is_replaced(tmp_path: Path) -> None:
    class Mortal(Lengths):
        def encode(self, texts: list[str], with_tokens: bool) -> SimpleNamespace:
            if not (tmp_path / "died").exists():
                (tmp_path / "died").touch()
                os._exit(1)
            return super().encode(texts, with_tokens)

    ran = extract(str(tmp_path / "store"), specs()[:1], max_tasks=1, load=lambda *_: Mortal())
    assert (tmp_path / "died").exists()
    assert ran[specs()[0]].vectors[:][:, 0].tolist() == [len(text) for text in TEXTS]


def test_a_task_that_can_never_be_placed_is_refused(tmp_path: Path) -> None:
    start = time.monotonic()
    with pytest.raises(JobFailed, match="64 CPU each cannot be placed: the cluster has 2 CPU"):
        extract(str(tmp_path), specs(), cpus_per_task=64)
    assert time.monotonic() - start < 1


@pytest.mark.slow
def test_the_embedded_models_on_ray(tmp_path: Path) -> None:
    from llink_ray.models.locate import fingerprint

    texts = ("Where is the market?", "ཁྲོམ་ག་པར་ཡོད།", "There are 30 books.")
    encoder, decoder = (fingerprint("embedded", None, part) for part in ("encoder", "decoder"))
    wanted = [
        FeatureSpec("encoder+tokens", texts, EncoderSettings(model="embedded"), encoder, 2),
        FeatureSpec("teacher", texts, DecoderSettings(model="embedded"), decoder, 2),
    ]
    ran = extract(str(tmp_path / "ray"), wanted, max_tasks=1)
    here = extract_here(str(tmp_path / "here"), wanted)
    for each in wanted:
        np.testing.assert_allclose(ran[each].vectors[:], here[each].vectors[:], atol=1e-5)
