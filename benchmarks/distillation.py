"""What distillation adds to Stage B: the decoder that reads the English teaches the one that reads slots.

    LLINK_DATA=… python benchmarks/distillation.py --language ne --steps 120 --weights 0,0.5,2
    … --set init_from=base      # of both, from the shared base

Beside the supervised loss stands KL(teacher ‖ student) over the vocabulary at every token of the answer; the
teacher is the same decoder without adapters, with the human English in the prompt. All else is equal.
Held-out figures are those of ``real_stage_b.py``, whose arguments it takes. One JSON line on stdout.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import torch
from real_corpora import corpus, data_folder
from real_stage_b import HELD_OUT, Arm, run
from torch.nn import functional as F

from llink_ray.models.encoder import Encoded
from llink_ray.models.llink import LlinkModel, Prompts, collate
from llink_ray.prompts.instructions import TRANSLATE_INSTRUCTION
from llink_ray.settings import StageBSettings, configure
from llink_ray.training import losses
from llink_ray.training.stage_b import Objective


class Distilled(Objective):
    """Stage B's objective with the teacher's distribution beside the answers."""

    def __init__(self, model: LlinkModel, settings: StageBSettings, arm: DistilledArm, weight: float) -> None:
        super().__init__(model, settings)
        self.arm, self.weight = arm, weight

    def reading(self, rows: list[int], prompts: Prompts) -> Prompts:
        """The same answers behind the human English."""
        builder = self.arm.decoder.prompt_builder
        asked = [builder.text_prompt(TRANSLATE_INSTRUCTION, self.arm.pairs[row].english) for row in rows]
        answers = [labels[labels >= 0].tolist() for labels in prompts.labels]
        return collate(asked, answers)

    def forward(
        self, prompts: Prompts, sources: Encoded, *rest: Any, **named: Any
    ) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """As :meth:`Objective.forward`; supervised and distilled, in nats a token."""
        if not rest or not self.weight:
            return super().forward(prompts, sources, *rest, **named)
        model, sentences = self.model, rest[2]
        reading = self.reading([self.arm.row_of[int(number)] for number in sentences], prompts)
        with torch.no_grad(), model.decoder.disable_adapter():
            embedded = model.embed(reading, None)
            wanted = model.decode(embedded, reading.mask, losses.predicting(reading.labels))  # (N, V)
        embedded = model.embed(prompts, model.soft_slots(sources))
        logits = model.decode(embedded, prompts.mask, losses.predicting(prompts.labels))  # (N, V)
        nats, counts = losses.supervised(logits, prompts.labels)
        supervised = nats.sum() / counts.sum()
        own, teachers = logits.float().log_softmax(-1), wanted.float().log_softmax(-1)
        apart = F.kl_div(own, teachers, reduction="batchmean", log_target=True)
        return supervised + self.weight * apart, {"supervised": supervised.detach(), "kl": apart.detach()}


class DistilledArm(Arm):
    """An arm of ``real_stage_b.py`` under the objective above."""

    def distil(self, weight: float) -> None:
        """Put the objective in place of the plain one."""
        engine = self.stage.engine
        self.row_of: dict[int, int] = {}
        for row, number in enumerate(self.stage.source._sentences.tolist()):
            self.row_of.setdefault(number, row)
        engine.objective = Distilled(self.model, self.settings.stage_b, self, weight).train()  # type: ignore[attr-defined]


def main() -> None:
    """Read the command line; see the module's docstring."""
    parser = argparse.ArgumentParser(description="Stage B with and without distillation.")
    parser.add_argument("--data")
    parser.add_argument("--language", default="ne")
    parser.add_argument("--most", type=int, default=3_000, help="training pairs")
    parser.add_argument("--steps", type=int, default=120)
    parser.add_argument("--weights", default="0,0.5,2", help="of the KL, one arm each")
    parser.add_argument("--translate", type=int, default=HELD_OUT, metavar="N")
    parser.add_argument("--store", type=Path, default=Path("runs/real/features"))
    parser.add_argument("--set", action="append", default=[], dest="assigned", help="of every arm")
    parser.add_argument("--threads", type=int, default=2)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    made = corpus(data_folder(given.data), given.language, given.most)
    pairs, arms = [*made.train, *made.test[:HELD_OUT]], {}
    settings = configure.resolve(
        *configure.layers("small", None, [f"stage_b.steps={given.steps}", *given.assigned])
    )
    for weight in map(float, given.weights.split(",")):
        arm = DistilledArm(settings, pairs, given.language, given.store)
        arm.distil(weight)
        arms[f"KL × {weight:g}"] = run(f"KL × {weight:g}", arm, given.steps, given.translate)
    print(json.dumps({"language": given.language, "pairs": len(made.train), "arms": arms}))


if __name__ == "__main__":
    main()
