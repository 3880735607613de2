"""Running the frozen models over texts, one shard at a time. No Ray here: a notebook can use it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import numpy.typing as npt

from llink_ray.errors import JobFailed
from llink_ray.features.frozen import (
    FrozenDecoder,
    FrozenEncoder,
    FrozenModel,
    Loader,
    ModelHolder,
    load_model,
)
from llink_ray.features.spec import FeatureSpec, Shard, What
from llink_ray.features.store import Features, FeatureStore
from llink_ray.progress import Progress, track

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class ExtractionResult:
    """Features by key, and how many model forwards this run spent on them."""

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
    wanted = distinct(specs)
    work = [shard for spec in wanted for shard in store.missing(spec)]
    holder = ModelHolder(load, device)
    forwards = 0
    with ExtractionProgress(work) as counting:
        for shard in work:
            counting.begin(shard)
            for batch in compute_batches(store, shard, holder.get(shard), batch_tokens):
                counting.done(shard, batch)
                forwards += 1
    return ExtractionResult({spec.key: store.finish(spec) for spec in wanted}, forwards)


def distinct(specs: Iterable[FeatureSpec]) -> list[FeatureSpec]:
    """Each key once, in order."""
    return list({spec.key: spec for spec in specs}.values())


@dataclass(frozen=True)
class Batch:
    """What one forward has done."""

    texts: int
    letters: int


class ExtractionProgress:
    """Progress over shards, told by what is computed: a decoder is slower than an encoder by far."""

    def __init__(self, work: Iterable[Shard]) -> None:
        self._all: dict[What, Batch] = {}
        for shard in work:
            self._all[shard.what] = _sum(self._all.get(shard.what), _size(shard.texts))
        self._done: dict[What, Batch] = {}
        self._told: dict[What, Progress] = {}
        self._stack = ExitStack()

    def __enter__(self) -> ExtractionProgress:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.__exit__(kind, error, trace)

    def begin(self, shard: Shard) -> None:
        """The first shard of its kind starts the clock."""
        if shard.what not in self._told:
            progress = track(f"{shard.what} features", "texts", self._all[shard.what].texts)
            self._told[shard.what] = self._stack.enter_context(progress)

    def done(self, shard: Shard, batch: Batch) -> None:
        """One forward more; what is left is estimated by letters, since the longest texts come first."""
        done, of = _sum(self._done.get(shard.what), batch), self._all[shard.what]
        self._done[shard.what] = done
        self._told[shard.what].update(done.texts, (done.letters, of.letters))
        if done.texts == of.texts:
            self._told[shard.what].close()


def _size(texts: Sequence[str]) -> Batch:
    return Batch(len(texts), sum(map(len, texts)))


def _sum(one: Batch | None, other: Batch) -> Batch:
    return Batch(one.texts + other.texts, one.letters + other.letters) if one else other


def compute_shard(store: FeatureStore, shard: Shard, model: FrozenModel, batch_tokens: int) -> int:
    """As :func:`compute_batches`, at once; model forwards spent."""
    return sum(1 for _ in compute_batches(store, shard, model, batch_tokens))


def compute_batches(
    store: FeatureStore, shard: Shard, model: FrozenModel, batch_tokens: int
) -> Iterator[Batch]:
    """Run the model over the texts of one shard and store the result, which is there at the end.

    Yields:
        What each forward has done.

    Raises:
        JobFailed: values that are not finite, or that float16 cannot hold; or the store is full.
    """
    texts = list(shard.texts)
    vectors: list[npt.NDArray[Any]] = [np.empty(0)] * len(texts)
    states: list[npt.NDArray[Any]] = [np.empty(0)] * len(texts)
    groups = batches(model.token_counts(texts), batch_tokens)
    for group in groups:
        rows, ragged = _forward(shard, model, [texts[i] for i in group])
        for place, i in enumerate(group):  # back to the order of the texts
            vectors[i] = rows[place]
            if ragged:
                states[i] = ragged[place]
        yield _size([texts[i] for i in group])
    arrays = {"vectors": np.stack(vectors)}  # (n, d)
    if shard.what == "encoder+tokens":
        arrays["tokens"] = np.concatenate(states)  # (sum T, d)
        arrays["offsets"] = np.cumsum([0, *map(len, states)], dtype=np.int64)  # (n + 1,)
    store.write(shard, arrays)


def _forward(
    shard: Shard, model: FrozenModel, batch: list[str]
) -> tuple[npt.NDArray[Any], list[npt.NDArray[Any]]]:
    """Vectors (B, d) and, where wanted, token states (T_i, d) of each text."""
    if shard.what == "teacher":
        return _finite(_array(cast(FrozenDecoder, model).teacher_states(batch)), shard), []
    with_tokens = shard.what == "encoder+tokens"
    encoded = cast(FrozenEncoder, model).encode(batch, with_tokens)
    vectors = _finite(_array(encoded.vectors), shard)  # (B, d)
    if not with_tokens:
        return vectors, []
    tokens = _array(cast("torch.Tensor", encoded.tokens))  # (B, T, d)
    mask = cast("torch.Tensor", encoded.mask).bool().cpu().numpy()  # (B, T)
    with np.errstate(over="ignore"):  # too large for float16 becomes infinite, which _finite reports
        kept = [states[there].astype(shard.state_dtype) for states, there in zip(tokens, mask, strict=True)]
    return vectors, [_finite(states, shard) for states in kept]


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
