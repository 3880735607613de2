"""Running the frozen models over texts, one shard at a time. No Ray here: a notebook can use it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import numpy.typing as npt

from llink_ray.errors import JobFailed
from llink_ray.features.frozen import Loader, ModelHolder, load_model
from llink_ray.features.spec import FeatureSpec, Shard, What
from llink_ray.features.store import Features, FeatureStore
from llink_ray.progress import Progress, track

if TYPE_CHECKING:
    import torch

Work = Counter[str]
"""Numbers of ``texts`` and ``letters``."""


@dataclass(frozen=True)
class ExtractionResult:
    """Features by key, and the model forwards that this run spent on them."""

    features: dict[str, Features]
    forwards: int

    def __getitem__(self, spec: FeatureSpec) -> Features:
        """Features of a spec."""
        return self.features[spec.key]


def extract(
    store_uri: str,
    specs: Iterable[FeatureSpec],
    *,
    batch_tokens: int = 8_192,
    device: str = "cpu",
    load: Loader = load_model,
) -> ExtractionResult:
    """Compute what is missing, in this process.

    Raises:
        JobFailed: a model gave values that cannot be stored, or the store cannot be written.
    """
    store = FeatureStore(store_uri)
    unique = distinct(specs)
    shards = [shard for spec in unique for shard in store.missing(spec)]
    holder = ModelHolder(load, device)
    forwards = 0
    with ExtractionProgress(shards) as progress:
        for shard in shards:
            progress.start(shard)
            for batch in compute_batches(store, shard, holder.get(shard), batch_tokens):
                progress.update(shard, batch)
                forwards += 1
    return ExtractionResult({spec.key: store.finish(spec) for spec in unique}, forwards)


def distinct(specs: Iterable[FeatureSpec]) -> list[FeatureSpec]:
    """Each key once, in order."""
    return list({spec.key: spec for spec in specs}.values())


class ExtractionProgress(ExitStack):
    """Progress over shards, by kind of features: a decoder is far slower than an encoder."""

    def __init__(self, shards: Iterable[Shard]) -> None:
        super().__init__()
        self._total: dict[What, Work] = {}
        for shard in shards:
            self._total[shard.what] = self._total.get(shard.what, Work()) + _work(shard.texts)
        self._done: dict[What, Work] = {}
        self._progress: dict[What, Progress] = {}

    def start(self, shard: Shard) -> None:
        """The first shard of its kind starts the clock."""
        if shard.what not in self._progress:
            progress = track(f"{shard.what} features", "texts", self._total[shard.what]["texts"])
            self._progress[shard.what] = self.enter_context(progress)

    def update(self, shard: Shard, batch: Work) -> None:
        """One forward more; the time left is estimated by letters, since the longest texts come first."""
        done, total = self._done.get(shard.what, Work()) + batch, self._total[shard.what]
        self._done[shard.what] = done
        self._progress[shard.what].update(done["texts"], (done["letters"], total["letters"]))
        if done["texts"] == total["texts"]:
            self._progress[shard.what].close()


def _work(texts: Sequence[str]) -> Work:
    return Work(texts=len(texts), letters=sum(map(len, texts)))


def compute_shard(store: FeatureStore, shard: Shard, model: Any, batch_tokens: int) -> int:
    """As :func:`compute_batches`, at once; returns the model forwards spent."""
    return sum(1 for _ in compute_batches(store, shard, model, batch_tokens))


def compute_batches(store: FeatureStore, shard: Shard, model: Any, batch_tokens: int) -> Iterator[Work]:
    """Run the model over the texts of one shard and, at the end, store the result.

    Yields:
        The work of each forward.

    Raises:
        JobFailed: values that are not finite, or that float16 cannot hold; or the store is full.
    """
    texts = list(shard.texts)
    vectors: list[npt.NDArray[Any]] = [np.empty(0)] * len(texts)
    states: list[npt.NDArray[Any]] = [np.empty(0)] * len(texts)
    for group in batches(model.token_counts(texts), batch_tokens):
        rows, ragged = _forward(shard, model, [texts[i] for i in group])
        for position, i in enumerate(group):  # back to the order of the texts
            vectors[i] = rows[position]
            if ragged:
                states[i] = ragged[position]
        yield _work([texts[i] for i in group])
    arrays = {"vectors": np.stack(vectors)}  # (n, d)
    if shard.what == "encoder+tokens":
        arrays["tokens"] = np.concatenate(states)  # (sum T, d)
        arrays["offsets"] = np.cumsum([0, *map(len, states)], dtype=np.int64)  # (n + 1,)
    store.write(shard, arrays)


def _forward(shard: Shard, model: Any, batch: list[str]) -> tuple[npt.NDArray[Any], list[npt.NDArray[Any]]]:
    """Vectors (B, d) and, for ``encoder+tokens``, token states (T_i, d) of each text."""
    if shard.what == "teacher":
        return _finite(_array(model.teacher_states(batch)), shard), []
    with_tokens = shard.what == "encoder+tokens"
    encoded = model.encode(batch, with_tokens)
    vectors = _finite(_array(encoded.vectors), shard)  # (B, d)
    if not with_tokens:
        return vectors, []
    tokens, mask = _array(encoded.tokens), encoded.mask.bool().cpu().numpy()  # (B, T, d), (B, T)
    with np.errstate(over="ignore"):  # too large for float16 becomes infinite, which _finite reports
        states = [row[present].astype(shard.state_dtype) for row, present in zip(tokens, mask, strict=True)]
    return vectors, [_finite(values, shard) for values in states]


def batches(counts: Sequence[int], batch_tokens: int) -> list[list[int]]:
    """Positions grouped by length, longest first, each group at most ``batch_tokens`` when padded.

    Longest first, so that a batch too large for the memory fails at once. A single text that is longer
    than ``batch_tokens`` makes a group by itself.
    """
    order = sorted(range(len(counts)), key=lambda i: (-counts[i], i))
    groups = []
    while order:
        size = max(1, batch_tokens // max(1, counts[order[0]]))
        groups.append(order[:size])
        order = order[size:]
    return groups


def _array(tensor: torch.Tensor) -> npt.NDArray[np.float32]:
    return cast("npt.NDArray[np.float32]", tensor.detach().float().cpu().numpy())


def _finite(values: npt.NDArray[Any], shard: Shard) -> npt.NDArray[Any]:
    if not np.isfinite(values).all():
        raise JobFailed(
            f"{shard.model.model} gave {shard.what} values that are not finite or too large for "
            f"{values.dtype}: check its weights and their precision."
        )
    return values
