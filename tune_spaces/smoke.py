"""Three settings of Stage A: enough to see a sweep through in a minute.

python jobs/tune.py --lang=tibetan --space=smoke --trials=4
"""

from llink_ray.sweeps import choice, integer, real

SPACE = {
    "projector.hidden": integer(64, 512, log=True, why="The preset's 768 is wide for the embedded vectors."),
    "stage_a.learning_rate": real(
        2e-4, 2e-2, log=True, why="From hardly learning in the preset's steps to falling apart."
    ),
    "stage_a.hard_negatives": choice(0, 256, why="With and without the nearest of the queue."),
}
