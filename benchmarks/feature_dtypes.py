"""Rates of the frozen models by dtype and padded tokens a forward, and what the dtype does to the features.

    LLINK_DATA=… python benchmarks/feature_dtypes.py --language ne --texts 512 --batch-tokens 2048,4096,8192

Foreign sentences and their English by the encoder, the English by the teacher, float32 and bfloat16 in turns.
Cosines are to float32 features, all of them less the mean. Lines go to stderr as they come, one JSON line
with texts per second to stdout.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from typing import Any, get_args

import torch
from real_corpora import corpus, data_folder
from real_features import spec

from llink_ray.features.extract import compute_shard
from llink_ray.features.frozen import load_model
from llink_ray.features.spec import Dtype
from llink_ray.features.store import FeatureStore
from llink_ray.settings import configure


def cosines(one: torch.Tensor, other: torch.Tensor) -> dict[str, float]:
    """Mean and least over the rows (N, d)."""
    found = torch.nn.functional.cosine_similarity(one - one.mean(0), other - other.mean(0))
    return {"mean": round(float(found.mean()), 5), "least": round(float(found.min()), 5)}


def main() -> None:
    """Read the command line; see the module's docstring."""
    parser = argparse.ArgumentParser(description="Rates of feature extraction by dtype.")
    parser.add_argument("--data")
    parser.add_argument("--preset", default="small")
    parser.add_argument("--language", default="ne")
    parser.add_argument("--texts", type=int, default=512)
    parser.add_argument("--batch-tokens", default="2048,4096,8192")
    parser.add_argument("--threads", type=int, default=2)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    pairs = corpus(data_folder(given.data), given.language, 100_000).train[: given.texts]
    sides = {
        "foreign": ("encoder", [p.foreign for p in pairs]),
        "english": ("encoder", [p.english for p in pairs]),
        "teacher": ("teacher", [p.english for p in pairs]),
    }
    results: list[dict[str, Any]] = []
    for side, (what, texts) in sides.items():
        exact: torch.Tensor | None = None
        for dtype in get_args(Dtype):
            settings = configure.resolve(*configure.layers(given.preset, None, [f"features.dtype={dtype}"]))
            wanted = spec(settings, "teacher" if what == "teacher" else "encoder", texts)
            model = load_model(wanted.what, wanted.model, "cpu", dtype)
            for tokens in map(int, given.batch_tokens.split(",")):
                with tempfile.TemporaryDirectory() as folder:
                    store, started = FeatureStore(folder), time.monotonic()
                    for shard in wanted.shards():
                        compute_shard(store, shard, model, tokens)
                    rate = len(texts) / (time.monotonic() - started)
                    rows = torch.tensor(store.finish(wanted).vectors[:])
                exact = rows if exact is None else exact
                found = {"side": side, "dtype": dtype, "batch_tokens": tokens, "per_second": round(rate, 1)}
                results.append({**found, "cosine": cosines(exact, rows)})
                print(results[-1], file=sys.stderr, flush=True)
    print(json.dumps({"language": given.language, "texts": len(pairs), "rates": results}))


if __name__ == "__main__":
    main()
