"""Stage A's module: the encoder's sentence vector -> the decoder's latent space."""

from __future__ import annotations

import torch
from torch import nn

from llink_ray.models.teacher_norm import normalised, predictive_map, ridge
from llink_ray.settings import ProjectorSettings


class Projector(nn.Module):
    """Linear, GELU, dropout, Linear, LayerNorm (paper, section 3.2); ``depth`` hidden layers.

    Several encoder layers are first mixed into one vector by a learned softmax (as LayAlign does). Constants
    of the training text normalise both ends and are saved with the weights:

    - the input is standardised: encoder vectors are often unit-length and far from zero mean, which slows
      training down;
    - the targets are normalised teacher states (``teacher_norm``). Those of a real decoder lie in a narrow
      cone, in which cosines of different sentences hardly differ.
    """

    mean: torch.Tensor
    scale: torch.Tensor
    teacher_mean: torch.Tensor
    teacher_spread: torch.Tensor
    teacher_map: torch.Tensor

    def __init__(
        self, encoder_dim: int, decoder_dim: int, settings: ProjectorSettings, layers: int = 1
    ) -> None:
        """``encoder_dim`` is the width of all that is read: ``layers`` layers side by side."""
        super().__init__()
        self.mix = nn.Parameter(torch.zeros(layers)) if layers > 1 else None
        self.dim = decoder_dim
        self.teacher_norm, self.read_layers = settings.teacher_norm, layers
        self.register_buffer("mean", torch.zeros(encoder_dim))
        self.register_buffer("scale", torch.ones(encoder_dim))
        if self.teacher_norm != "none":
            self.register_buffer("teacher_mean", torch.zeros(decoder_dim))
        if self.teacher_norm == "standard":
            self.register_buffer("teacher_spread", torch.ones(decoder_dim))
        elif self.teacher_norm == "predictive":
            self.register_buffer("teacher_map", torch.eye(decoder_dim))
        stack: list[nn.Module] = []
        width = encoder_dim // layers
        for _ in range(settings.depth):
            stack += [nn.Linear(width, settings.hidden), nn.GELU(), nn.Dropout(settings.dropout)]
            width = settings.hidden
        stack += [nn.Linear(width, decoder_dim), nn.LayerNorm(decoder_dim)]
        self.layers = nn.Sequential(*stack)
        self.linear = nn.Linear(encoder_dim, decoder_dim) if settings.linear else None

    @torch.no_grad()
    def fit_normalisation(self, vectors: torch.Tensor, teacher: torch.Tensor | None = None) -> None:
        """Take the constants from ``vectors`` (N, d_in) and their ``teacher`` states (N, d_dec)."""
        self.mean.copy_(vectors.mean(0))
        self.scale.copy_(1.0 / vectors.std(0, correction=0).clamp(min=1e-4))
        if teacher is None or self.teacher_norm == "none":
            return
        if self.teacher_norm == "standard":
            self.teacher_mean.copy_(teacher.mean(0))
            self.teacher_spread.copy_(teacher.std(0, correction=0).clamp(min=1e-4))
            return
        last = vectors[:, -vectors.shape[1] // self.read_layers :]  # the encoder's topmost layer is enough
        mean, matrix = predictive_map(last, teacher)
        self.teacher_mean.copy_(mean)
        self.teacher_map.copy_(matrix)

    @torch.no_grad()
    def init_linear(self, vectors: torch.Tensor, teacher: torch.Tensor) -> None:
        """Start the linear map, if there is one, from ``vectors`` (N, d_in) and ``teacher`` (N, d_dec).

        Call it after :meth:`fit_normalisation`, with the same text or with more.
        """
        if self.linear is None:
            return
        inputs = (vectors - self.mean) * self.scale
        weights = ridge(inputs, self.normalise(teacher))
        self.linear.weight.copy_(weights.T)
        self.linear.bias.zero_()
        last = next(layer for layer in reversed(self.layers) if isinstance(layer, nn.Linear))
        last.weight.zero_()
        last.bias.zero_()

    def normalise(self, teacher: torch.Tensor) -> torch.Tensor:
        """Teacher states (N, d_dec) as :meth:`forward`'s vectors are to be compared with them."""
        constants = {k: v for k, v in self.named_buffers(recurse=False) if k.startswith("teacher_")}
        return normalised(teacher, constants)

    def forward(self, vectors: torch.Tensor) -> torch.Tensor:
        """(B, d_enc) -> (B, d_dec), in the space of normalised teacher states."""
        # Constants may stay in float32 where an engine turned the weights into bf16.
        standard = ((vectors - self.mean) * self.scale).to(next(self.layers.parameters()).dtype)
        mixed = standard
        if self.mix is not None:
            by_layer = standard.unflatten(-1, (len(self.mix), -1))  # (B, L, d_enc)
            mixed = torch.einsum("bld,l->bd", by_layer, self.mix.softmax(0))
        if self.linear is None:
            projected: torch.Tensor = self.layers(mixed)
            return projected
        *layers, norm = self.layers
        for layer in layers:
            mixed = layer(mixed)
        summed: torch.Tensor = norm(self.linear(standard) + mixed)
        return summed
