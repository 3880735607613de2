"""Constants by which teacher states are normalised before foreign vectors are compared with them."""

from __future__ import annotations

from collections.abc import Mapping

import torch

SHRINKAGE = 0.05
"""Of the teacher's covariance towards a multiple of the identity, as a share of its mean variance."""
_PART = 8_192  # rows that are summed at a time
RIDGE = 0.1
"""Of the regression on standardised encoder vectors."""


def normalised(states: torch.Tensor, constants: Mapping[str, torch.Tensor]) -> torch.Tensor:
    """Teacher states (N, d_dec) by a projector's constants, as far as it has any.

    ``teacher_mean`` (d_dec,) and, with it, ``teacher_spread`` (d_dec,) or ``teacher_map`` (d_dec, d_dec).
    """
    if "teacher_mean" not in constants:
        return states
    kept = {name: constant.to(states) for name, constant in constants.items()}  # an engine may have cast them
    centred = states - kept["teacher_mean"]
    return centred @ kept["teacher_map"] if "teacher_map" in kept else centred / kept["teacher_spread"]


def predictive_map(vectors: torch.Tensor, teacher: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean (d_dec,) and map (d_dec, d_dec), float32: ``(t - mean) @ map`` normalises a teacher state t.

    Whitening makes every direction of the teacher count alike, also those that say how a sentence is written
    and that no encoder of meaning can know. Here each whitened direction is weighed by how well it is
    predicted from the encoder: directions are those of a canonical correlation analysis (Hotelling 1936)
    between ``vectors`` (N, d_enc) and ``teacher`` (N, d_dec), weights their correlations. The regression is
    cross-fitted in two halves, so that with few pairs nothing is taken for known that was only remembered.
    """
    target = teacher.double()
    mean = target.mean(0)
    centred = target - mean
    variance, axes = torch.linalg.eigh(centred.T @ centred / len(target))
    variance = variance.clamp(min=0)
    whitening = axes @ torch.diag((variance + SHRINKAGE * variance.mean() + 1e-12).rsqrt()) @ axes.T
    white = centred @ whitening  # (N, d_dec)
    predicted = _cross_fitted(_standardised(vectors.double()), white)
    shared = predicted.T @ white / len(target)  # (d_dec, d_dec)
    explained, directions = torch.linalg.eigh((shared + shared.T) / 2)
    weights = explained.clamp(min=0).sqrt()
    if not bool(weights.any()):  # nothing is predicted, as with a handful of pairs: whitened alone
        weights = torch.ones_like(weights)
    return mean.float(), (whitening @ directions @ torch.diag(weights)).float()


def ridge(inputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Weights (d_in, d), float64, of a ridge regression of ``targets`` (N, d) on ``inputs`` (N, d_in).

    The inputs are standardised already. Sums are taken in float64, part by part.
    """
    count, width = max(1, len(inputs)), inputs.shape[1]
    gram = RIDGE * torch.eye(width, dtype=torch.float64, device=inputs.device)
    shared = gram.new_zeros(width, targets.shape[1])
    for rows, aims in zip(inputs.split(_PART), targets.split(_PART), strict=True):
        exact = rows.double()
        gram += exact.T @ exact / count
        shared += exact.T @ aims.double() / count
    weights: torch.Tensor = torch.linalg.solve(gram, shared)
    return weights


def _standardised(vectors: torch.Tensor) -> torch.Tensor:
    return (vectors - vectors.mean(0)) / vectors.std(0, correction=0).clamp(min=1e-4)


def _cross_fitted(inputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """(N, d) predictions of each half of the rows by a ridge regression on the other half."""
    predicted = torch.zeros_like(targets)
    halves = torch.arange(len(inputs)) % 2 == 0
    for fitted in (halves, ~halves):
        predicted[~fitted] = inputs[~fitted] @ ridge(inputs[fitted], targets[fitted])
    return predicted
