"""Parallel text: ``read`` -> ``clean`` -> ``split``, each in its module; ``prepare`` does all three."""

from llink_ray.corpus.clean import Dropped, describe
from llink_ray.corpus.pair import Pair, Question
from llink_ray.corpus.prepared import Prepared, prepare
from llink_ray.corpus.split import SPLITS, UNSEEN, Splits

__all__ = [
    "SPLITS",
    "UNSEEN",
    "Dropped",
    "Pair",
    "Prepared",
    "Question",
    "Splits",
    "describe",
    "prepare",
]
