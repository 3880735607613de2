"""Novelty detection: is a text unlike those that a bundle was trained on, by its encoder vector?"""

from __future__ import annotations

from pathlib import Path

import torch

from llink_ray.models.teacher_norm import SHRINKAGE
from llink_ray.storage.tensor_file import open_versioned

FILE = "known_text.safetensors"
"""Its name in a bundle."""
VERSION = "1"
"""Of the file; counts up when distances are computed in another way."""
KNOWN_SHARE = 0.995
"""Share of text of the training text's own kind that lies inside the bound."""
FEWEST = 50
"""Training texts below which no detector is fitted."""
MOST = 20_000
"""Training texts that are used at most; of more, evenly spaced ones."""
_FOLDS = 5


class NoveltyDetector:
    """Mean and covariance of the encoder's vectors of the training text, and a bound on the distance.

    The distance is Mahalanobis's (Lee et al. 2018, arXiv 1807.03888), the covariance shrunk towards a
    multiple of the identity. The bound is the quantile ``KNOWN_SHARE`` of cross-validated distances of
    training texts (5 folds). No text is kept. ``benchmarks/known_text.py`` measures the accuracy.
    """

    def __init__(self, mean: torch.Tensor, whitening: torch.Tensor, bound: float, layers: int = 1) -> None:
        self.mean, self.whitening, self.bound, self._layers = mean, whitening, bound, layers

    @classmethod
    def fit(cls, vectors: torch.Tensor, layers: int = 1) -> NoveltyDetector | None:
        """On vectors (N, L·d) as the projector reads them; None for fewer than ``FEWEST``."""
        if len(vectors) < FEWEST:
            return None
        states = _mean_over_layers(vectors, layers)
        part = torch.arange(len(states)) % _FOLDS
        left_out = [_distances(states[part == fold], *_fit(states[part != fold])) for fold in range(_FOLDS)]
        mean, whitening = _fit(states)
        bound = torch.quantile(torch.cat(left_out), KNOWN_SHARE)
        return cls(mean.float(), whitening.float(), float(bound), layers)

    def save(self, folder: Path) -> None:
        """Write ``known_text.safetensors``."""
        from safetensors.torch import save_file

        tensors = {
            "mean": self.mean.contiguous(),
            "whitening": self.whitening.contiguous(),
            "bound": torch.tensor([self.bound]),
        }
        save_file(tensors, folder / FILE, metadata={"version": VERSION, "layers": str(self._layers)})

    @classmethod
    def load(cls, folder: Path) -> NoveltyDetector | None:
        """What the bundle in ``folder`` carries; None where it carries none.

        Raises:
            LlinkError: damaged, or of another version.
        """
        file = Path(folder) / FILE
        if not file.is_file():
            return None
        with open_versioned(file, VERSION, "pt") as tensors:
            mean, whitening, bound = (tensors.get_tensor(name) for name in ("mean", "whitening", "bound"))
            layers = int(tensors.metadata().get("layers", 1))
        return cls(mean, whitening, float(bound[0]), layers)

    def distances(self, vectors: torch.Tensor) -> torch.Tensor:
        """(N,): distances of vectors (N, L·d) in multiples of the bound: above 1 is outside."""
        states = _mean_over_layers(vectors, self._layers)
        return _distances(states, self.mean.double(), self.whitening.double()).float() / self.bound

    def outside(self, vectors: torch.Tensor) -> list[bool]:
        """Whether each of N texts lies outside."""
        return (self.distances(vectors) > 1).tolist()


def _mean_over_layers(vectors: torch.Tensor, layers: int) -> torch.Tensor:
    """(N, d), float64: the mean over layers that stand side by side."""
    return vectors.detach().cpu().double().reshape(len(vectors), layers, -1).mean(1)


def _fit(states: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean (d,) and whitening (d, d) of states (N, d)."""
    mean = states.mean(0)
    centred = states - mean
    variance, axes = torch.linalg.eigh(centred.T @ centred / len(states))
    shrunk = variance.clamp(min=0) + SHRINKAGE * variance.mean() + 1e-12
    return mean, axes * shrunk.rsqrt()


def _distances(states: torch.Tensor, mean: torch.Tensor, whitening: torch.Tensor) -> torch.Tensor:
    return ((states - mean) @ whitening).square().sum(-1).sqrt()
