"""Stage A's module: the encoder's sentence vector -> the decoder's latent space."""

from __future__ import annotations

import torch
from torch import nn

from llink_ray.settings import ProjectorSettings


class Projector(nn.Module):
    """Linear, GELU, dropout, Linear, LayerNorm (paper, section 3.2); ``depth`` hidden layers.

    A standardisation of the input with constants of the training text stands first: encoders' vectors
    are often unit-length and far from zero mean, which an untouched first layer learns slowly from.
    """

    mean: torch.Tensor
    scale: torch.Tensor

    def __init__(self, encoder_dim: int, decoder_dim: int, settings: ProjectorSettings) -> None:
        super().__init__()
        self.dim = decoder_dim
        self.register_buffer("mean", torch.zeros(encoder_dim))
        self.register_buffer("scale", torch.ones(encoder_dim))
        layers: list[nn.Module] = []
        width = encoder_dim
        for _ in range(settings.depth):
            layers += [nn.Linear(width, settings.hidden), nn.GELU(), nn.Dropout(settings.dropout)]
            width = settings.hidden
        layers += [nn.Linear(width, decoder_dim), nn.LayerNorm(decoder_dim)]
        self.layers = nn.Sequential(*layers)

    @torch.no_grad()
    def standardise_with(self, vectors: torch.Tensor) -> None:
        """Take mean and spread of ``vectors`` (N, d_enc) as the constants of the input."""
        self.mean.copy_(vectors.mean(0))
        self.scale.copy_(1.0 / vectors.std(0, correction=0).clamp(min=1e-4))

    def forward(self, vectors: torch.Tensor) -> torch.Tensor:
        """(B, d_enc) -> (B, d_dec)."""
        # Constants may stay in float32 where an engine turned the weights into bf16.
        standard = ((vectors - self.mean) * self.scale).to(next(self.layers.parameters()).dtype)
        projected: torch.Tensor = self.layers(standard)
        return projected
