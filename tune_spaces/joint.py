"""Both stages together, few settings of each: what the projector leaves and what the slots make of it.

python jobs/tune.py --lang=all --space=joint --joint --trials=24
"""

from llink_ray.sweeps import choice, integer, real

SPACE = {
    "projector.hidden": integer(128, 3072, log=True, why="Stage A's capacity, as in space projector."),
    "projector.dropout": real(0.0, 0.3, why="A projector that overfits hands on slots that do."),
    "stage_a.learning_rate": real(2e-4, 1e-2, log=True, why="A factor of ten about what presets have."),
    "stage_a.temperature_end": real(
        0.02, 0.15, log=True, why="How sharply neighbours are told apart before slots are read from them."
    ),
    "slots.count": choice(2, 4, 8, 16, why="K around the paper's 8: quality against prompt tokens."),
    "lora.rank": choice(4, 16, 64, why="Around the paper's 16: how much the decoder has to bend."),
    "stage_b.lora_learning_rate": real(1e-4, 1e-2, log=True, why="From the paper's up, as in space slots."),
    "stage_b.slot_learning_rate": real(3e-5, 1e-2, log=True, why="From the paper's up, as in space slots."),
}
