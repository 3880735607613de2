"""Stage A: the projector's shape and its contrastive training. No trial runs a frozen model.

python jobs/tune.py --lang=tibetan,khmer --space=projector --trials=32
"""

from llink_ray.sweeps import choice, integer, real

SPACE = {
    "projector.hidden": integer(
        128, 3072, log=True, why="From narrower than most encoders to the paper's width, by ratio."
    ),
    "projector.depth": integer(1, 3, why="The paper has one hidden layer; more seldom helps and is slow."),
    "projector.dropout": real(
        0.0, 0.3, why="None suits much text, the paper's 0.1 little; above 0.3 starves."
    ),
    "stage_a.temperature_start": real(
        0.05, 0.3, log=True, why="Around the paper's 0.17; high at first, all negatives count alike."
    ),
    "stage_a.temperature_end": real(
        0.02, 0.15, log=True, why="Around the paper's 0.08; low at last, only the nearest count."
    ),
    "stage_a.learning_rate": real(2e-4, 1e-2, log=True, why="A factor of ten about what presets have."),
    "stage_a.queue": choice(
        1024, 4096, 16384, 32768, why="Past teachers as negatives: fresh and few, to the paper's many."
    ),
    "stage_a.hard_negatives": choice(
        32, 128, 256, 512, why="Hardest of the queue: more make each step dearer, fewer the task easier."
    ),
    "stage_a.direction_weight": real(
        0.005, 0.5, log=True, why="The paper's 0.05, ten times less and more: it pulls where ranks are right."
    ),
    "stage_a.norm_weight": real(
        0.002, 0.2, log=True, why="The paper's 0.02, ten times less and more: lengths matter to slots only."
    ),
}
