"""Past vectors kept as negatives, each with the sentence it came from."""

from __future__ import annotations

import torch


class NegativeQueue:
    """A ring of the newest ``size`` rows."""

    def __init__(self, size: int, dim: int, device: torch.device | None = None) -> None:
        self.vectors = torch.zeros(size, dim, device=device)
        self.ids = torch.full((size,), -1, device=device)
        self.written = torch.zeros(1, dtype=torch.long)

    def push(self, vectors: torch.Tensor, ids: torch.Tensor) -> None:
        """Keep rows (B, d) of sentences (B,); the oldest make room."""
        size = len(self.ids)
        if not size:
            return
        vectors, ids = vectors[-size:].detach(), ids[-size:]
        place = (int(self.written) + torch.arange(len(ids), device=ids.device)) % size
        self.vectors[place], self.ids[place] = vectors.to(self.vectors), ids.to(self.ids)
        self.written += len(ids)

    def contents(self) -> tuple[torch.Tensor, torch.Tensor]:
        """What is there so far: (n, d) and (n,)."""
        count = min(int(self.written), len(self.ids))
        return self.vectors[:count], self.ids[:count]

    def state(self) -> dict[str, torch.Tensor]:
        """For a checkpoint."""
        return {"vectors": self.vectors, "ids": self.ids, "written": self.written}

    def restore(self, state: dict[str, torch.Tensor]) -> None:
        """From a checkpoint."""
        self.vectors.copy_(state["vectors"])
        self.ids.copy_(state["ids"])
        self.written.copy_(state["written"])
