"""Stage B: how many slots, of what kind, and how hard they are made to be used.

python jobs/tune.py --lang=tibetan --space=slots --objective=answers.exact,slots
"""

from llink_ray.sweeps import choice, integer, real

SPACE = {
    "slots.count": integer(
        1,
        32,
        log=True,
        why="K from one vector a sentence to about the tokens of its English; the paper has 8.",
    ),
    "slots.variant": choice(
        "mean", "resampler", why="The paper's one vector against token states, which cost more and keep more."
    ),
    "lora.rank": integer(2, 64, log=True, why="From almost frozen to more than the paper's 16."),
    "stage_b.lora_learning_rate": real(
        1e-4, 1e-2, log=True, why="The paper's rate for a large decoder up to where small ones still learn."
    ),
    "stage_b.slot_learning_rate": real(
        3e-5, 1e-2, log=True, why="The paper starts slots very low; fresh modules usually bear more."
    ),
    "stage_b.usage.margin": real(
        0.0, 3.0, why="None at all, the paper's 1 nat, and more than slots are worth in most runs."
    ),
    "stage_b.usage.every": integer(1, 8, why="The term doubles a step's cost: how seldom is enough?"),
}
