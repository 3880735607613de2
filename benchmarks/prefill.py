"""Time to the decoder's first token: raw text in the prompt against slots, encoder and slots included.

    python benchmarks/prefill.py                                    # embedded models, four languages
    python benchmarks/prefill.py --models paper --batch-size 1 --turns 3    # the paper's shapes

*Raw*: the untouched decoder reads instruction and foreign text. *Slots*: the encoder reads the text,
projector and slots make K vectors of it, and the decoder, adapters on, reads those with the instruction.
Both start at the text, tokenising included, and end with the first token's logits and the cache for the
next. The questions are held-out ones of the phrasebooks, in batches of like length; both ways take turns on
the same batch, and the ratio of a turn is between the two; that of their processor time says what it would
be on a machine where others do not wait for the same cores. Weights of projector, slots and adapters, and all
of the paper's shapes, are random: time does not depend on them. A Markdown table goes to stderr, one JSON
line to stdout.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import shapes
import tokens
import torch

from llink_ray.corpus import phrasebook
from llink_ray.errors import LlinkError
from llink_ray.models.decoder import Decoder, positions, without_adapters
from llink_ray.models.encoder import Encoder
from llink_ray.models.llink import LlinkModel, Prompts, collate, new_slots, with_lora
from llink_ray.models.projector import Projector
from llink_ray.models.slots import Slots
from llink_ray.prompts.instructions import Example
from llink_ray.settings import Settings, configure
from llink_ray.text import languages
from llink_ray.text.languages import Language


class Bench:
    """Both ways to the first token with the same models."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.encoder = Encoder.load(settings.encoder)
        self.decoder = Decoder.load(settings.decoder)
        torch.manual_seed(settings.seed)
        projector = Projector(self.encoder.dim, self.decoder.dim, settings.projector)
        slots = new_slots(self.decoder, settings, self.encoder.token_dim)
        self.model = LlinkModel(with_lora(self.decoder.model, settings.lora), projector, slots).eval()
        self.slots_seconds = 0.0
        """Of the last slot prompt: encoder, projector and slots."""

    def _first(self, prompts: Prompts, slots: Slots | None) -> torch.Tensor:
        """Logits (B, V) of the first token, with the cache that generation goes on from."""
        logits: torch.Tensor = self.model.decoder(
            inputs_embeds=self.model.embed(prompts, slots),
            attention_mask=prompts.mask,
            position_ids=positions(prompts.mask),
            use_cache=True,
            logits_to_keep=1,
        ).logits
        return logits[:, -1]

    def raw(self, examples: Sequence[Example], language: Language) -> torch.Tensor:
        """The text itself in the prompt."""
        rows = [self.decoder.prompt_builder.text_prompt(e.instruction, e.foreign) for e in examples]
        return self._first(collate(rows), None)

    def slots(self, examples: Sequence[Example], language: Language) -> torch.Tensor:
        """Slots where it stood."""
        started = time.perf_counter()
        texts = [e.foreign for e in examples]
        encoded = self.encoder.encode(texts, with_tokens=self.settings.slots.reads_tokens)
        made = self.model.soft_slots(encoded.with_slot_counts(map(self.settings.slots.slot_count, texts)))
        self.slots_seconds = time.perf_counter() - started
        prompt, own = self.decoder.prompt_builder, self.settings.slots
        rows = [prompt.slot_prompt(e.instruction, e.foreign, own, language) for e in examples]
        return self._first(collate(rows), made)

    def turn(self, examples: Sequence[Example], language: Language, slots_first: bool) -> dict[str, float]:
        """Seconds of either way on one batch, and of the slots' making."""
        found: dict[str, float] = {}
        with torch.inference_mode():
            for name in ("slots", "raw") if slots_first else ("raw", "slots"):
                if name == "slots":
                    wall, cpu = seconds(lambda: self.slots(examples, language))
                else:
                    with without_adapters(self.model):
                        wall, cpu = seconds(lambda: self.raw(examples, language))
                found |= {name: wall, f"{name}_cpu": cpu}
        return {**found, "making": self.slots_seconds}


def seconds(work: Callable[[], object]) -> tuple[float, float]:
    """What it takes once, by the clock and of the processor."""
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - wall, time.process_time() - cpu


def batches(examples: Sequence[Example], size: int, count: int) -> list[list[Example]]:
    """``count`` batches of texts of like length, from short to long, evenly apart."""
    ordered = sorted(examples, key=lambda e: len(e.foreign))
    last = len(ordered) - size
    if last < 0:
        raise LlinkError(f"--batch-size is {size}, but only {len(ordered)} questions are held out")
    starts = [round(last * (i + 0.5) / count) for i in range(count)]
    return [list(ordered[start : start + size]) for start in starts]


def measure(bench: Bench, language: Language, size: int, turns: int) -> dict[str, Any]:
    """Medians over ``turns`` batches of ``size`` questions, after one that does not count."""
    drawn = batches(tokens.held_out(bench.settings, language), size, turns)
    bench.turn(drawn[len(drawn) // 2], language, slots_first=True)
    seen = [bench.turn(batch, language, bool(i % 2)) for i, batch in enumerate(drawn)]
    return {
        "language": language.code,
        "batch_size": size,
        "raw_ms": 1e3 * statistics.median(turn["raw"] for turn in seen),
        "slots_ms": 1e3 * statistics.median(turn["slots"] for turn in seen),
        "making_ms": 1e3 * statistics.median(turn["making"] for turn in seen),
        "ratio": statistics.median(turn["raw"] / turn["slots"] for turn in seen),
        "cpu_ratio": statistics.median(turn["raw_cpu"] / turn["slots_cpu"] for turn in seen),
        "turns": turns,
    }


def table(rows: Sequence[dict[str, Any]]) -> Iterator[str]:
    """Markdown."""
    yield "| language | batch | raw, ms | slots, ms | encoder and slots | raw ÷ slots | processor time |"
    yield "|---" * 7 + "|"
    for row in rows:
        times = f"{row['raw_ms']:.1f} | {row['slots_ms']:.1f} | {row['making_ms']:.1f}"
        ratios = f"{row['ratio']:.2f} | {row['cpu_ratio']:.2f}"
        yield f"| {row['language']} | {row['batch_size']} | {times} | {ratios} |"


def settings_of(asked: argparse.Namespace, folder: Path) -> Settings:
    """The preset, with models of the paper's shapes written into ``folder`` if they are asked for."""
    layers = configure.layers(asked.preset, None, asked.set)
    if asked.models == "paper":
        places = shapes.write_encoder(folder / "encoder"), shapes.write_decoder(folder / "decoder")
        named = {
            "encoder": {"model": str(places[0]), "pooling": "mean"},
            "decoder": {"model": str(places[1])},
        }
        layers.append(named)
    return configure.resolve(*layers)


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--models", choices=("embedded", "paper"), default="embedded")
    parser.add_argument("--lang", action="append", help="of the phrasebooks; may be repeated (default: all)")
    parser.add_argument("--batch-size", action="append", type=int, help="may be repeated (default: 1 and 16)")
    parser.add_argument("--turns", type=int, default=20, help="batches of each language and size")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--preset", default="tiny", help="slots and adapters")
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="as for jobs/train.py"
    )
    asked = parser.parse_args(arguments)
    sizes = asked.batch_size or [1, 16]
    if min(*sizes, asked.turns, asked.threads) < 1:
        parser.error("--batch-size, --turns and --threads are at least 1")
    torch.set_num_threads(asked.threads)
    try:
        named = [languages.find(code) for code in asked.lang or phrasebook.languages()]
        with redirect_stdout(sys.stderr):  # where libraries log to stdout
            with tempfile.TemporaryDirectory() as folder:
                bench = Bench(settings_of(asked, Path(folder)))
            rows = [measure(bench, language, size, asked.turns) for language in named for size in sizes]
    except LlinkError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    print("\n".join(table(rows)), file=sys.stderr)
    print(
        json.dumps({"benchmark": "prefill", "models": asked.models, "threads": asked.threads, "rows": rows})
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
