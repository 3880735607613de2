"""What it brings to answer many requests in one batch, and what many languages in it cost.

    python benchmarks/decoding.py

One decoder, the embedded one, with four adapters of a bundle's usual shape. The same requests are answered
one at a time and sixteen at a time, with one adapter and with four mixed, in turns within one process, so
that a busy machine slows all of them. The ratios are medians over the rounds: tokens a second by the
clock, and tokens by processor time, which other programs disturb less. One JSON line goes to stdout.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from pathlib import Path

import torch

from llink_ray.corpus import phrasebook
from llink_ray.engine import EngineLimits, EngineRequest, PromptInput, SamplingParams
from llink_ray.engine.batched_engine import BatchedEngine
from llink_ray.models.decoder import Decoder
from llink_ray.models.llink import with_lora
from llink_ray.prompts.instructions import TRANSLATE_INSTRUCTION
from llink_ray.settings import DecoderSettings, LoraSettings

EMBEDDED = DecoderSettings(model="embedded")
NAMES = ("a", "b", "c", "d")
ROWS = 16


def write_adapters(folder: Path, rank: int) -> None:
    """Four random adapters, too weak to change what the decoder says much: answers keep their length."""
    for seed, name in enumerate(NAMES):
        torch.manual_seed(seed)
        model = with_lora(Decoder.load(EMBEDDED).model, LoraSettings(rank=rank))
        with torch.no_grad():
            for key, parameter in model.named_parameters():
                if "lora_B" in key:
                    parameter.normal_(0, 1e-3)
        model.save_pretrained(str(folder / name))


class Bench:
    """One engine for each number of rows, over requests of which each copies an English sentence."""

    def __init__(self, count: int, rank: int) -> None:
        self.engines = {rows: BatchedEngine(Decoder.load(EMBEDDED), EngineLimits(rows)) for rows in (1, ROWS)}
        with tempfile.TemporaryDirectory() as folder:
            write_adapters(Path(folder), rank)
            for engine in self.engines.values():
                for name in NAMES:
                    engine.load_adapter(name, Path(folder, name))
        prompt = self.engines[1].decoder.prompt_builder
        pairs = phrasebook.pairs("bo", count, seed=0)
        self.prompts = [
            PromptInput(tuple(prompt.text_prompt(TRANSLATE_INSTRUCTION, pair.english))) for pair in pairs
        ]

    def run(self, rows: int, names: tuple[str | None, ...], count: int) -> tuple[float, float]:
        """(tokens a second, tokens a second of processor time) of ``count`` requests, ``rows`` at a time."""
        engine = self.engines[rows]
        before, clock, worked = engine.snapshot().tokens, time.perf_counter(), time.process_time()
        for i, prompt in enumerate(self.prompts[:count]):
            engine.submit(EngineRequest(prompt, names[i % len(names)], SamplingParams(max_tokens=64)))
        while engine.step():
            pass
        tokens = engine.snapshot().tokens - before
        return tokens / (time.perf_counter() - clock), tokens / (time.process_time() - worked)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rounds", type=int, default=5, help="how often each way is timed")
    parser.add_argument("--requests", type=int, default=128, help="a round, sixteen at a time")
    parser.add_argument("--rank", type=int, default=16, help="of the adapters")
    parser.add_argument("--threads", type=int, default=1, help="of torch")
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    bench = Bench(given.requests, given.rank)
    ways: dict[str, tuple[int, tuple[str | None, ...], int]] = {
        "one at a time": (1, NAMES[:1], max(1, given.requests // 8)),
        "one adapter": (ROWS, NAMES[:1], given.requests),
        "four adapters": (ROWS, NAMES, given.requests),
        "no adapter": (ROWS, (None,), given.requests),
    }
    for way in ways.values():
        bench.run(way[0], way[1], 2 * way[0])  # the first pass of everything is slower
    rounds = [{name: bench.run(*way) for name, way in ways.items()} for _ in range(given.rounds)]

    def ratio(over: str, under: str, kind: int) -> float:
        return round(statistics.median(r[over][kind] / r[under][kind] for r in rounds), 3)

    for name in ways:
        speed = statistics.median(r[name][0] for r in rounds)
        print(f"{name:15} {speed:8.0f} tokens a second", file=sys.stderr)
    figures = {
        "benchmark": "decoding",
        "rows": ROWS,
        "rank": given.rank,
        "requests": given.requests,
        "rounds": given.rounds,
        "threads": given.threads,
        "tokens_per_second": {n: round(statistics.median(r[n][0] for r in rounds)) for n in ways},
        "batched_over_single": ratio("one adapter", "one at a time", 0),
        "batched_over_single_cpu": ratio("one adapter", "one at a time", 1),
        "four_over_one_adapter": ratio("four adapters", "one adapter", 0),
        "four_over_one_adapter_cpu": ratio("four adapters", "one adapter", 1),
        "adapters_over_none_cpu": ratio("four adapters", "no adapter", 1),
    }
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
