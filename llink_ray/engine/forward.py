"""Forward passes of the base decoder over rows with adapters of their own."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from transformers import DynamicCache

from llink_ray.engine.adapter_pool import AdapterPool
from llink_ray.engine.kv_cache import PaddedCache, left_mask
from llink_ray.engine.types import PromptInput
from llink_ray.models.decoder import Decoder, positions
from llink_ray.prompts import SLOT_ID


class Forward:
    """The decoder and its adapters. Row ``i`` uses the pool's adapter ``adapters[i]``; logits are float32."""

    def __init__(self, decoder: Decoder, pool: AdapterPool) -> None:
        self.decoder, self.pool = decoder, pool

    def embed(self, prompts: Sequence[PromptInput]) -> tuple[torch.Tensor, list[int]]:
        """Left-padded input embeddings (B, S, d) and the B lengths."""
        lengths = [prompt.length for prompt in prompts]
        width = max(lengths)
        ids = torch.zeros(len(prompts), width, dtype=torch.long)  # (B, S)
        for i, prompt in enumerate(prompts):
            ids[i, width - lengths[i] :] = torch.tensor(prompt.ids)
        ids = ids.to(self.decoder.device)
        embedded: torch.Tensor = self.decoder.model.get_input_embeddings()(ids.clamp(min=0))  # (B, S, d)
        for i, prompt in enumerate(prompts):
            if prompt.slots is not None:
                embedded[i, ids[i] == SLOT_ID] = torch.tensor(prompt.slots).to(embedded)
        return embedded, lengths

    def prefill(
        self, prompts: Sequence[PromptInput], adapters: Sequence[int]
    ) -> tuple[torch.Tensor, PaddedCache]:
        """Logits (B, V) behind B prompts, and their keys and values."""
        embedded, lengths = self.embed(prompts)
        mask = left_mask(lengths, embedded.shape[1], embedded.device)  # (B, S)
        cache = DynamicCache()
        with self.pool.activate(adapters):
            logits = self.decoder.model(
                inputs_embeds=embedded,
                attention_mask=mask,
                position_ids=positions(mask),
                past_key_values=cache,
                use_cache=True,
                logits_to_keep=1,
            ).logits  # (B, 1, V)
        return logits[:, -1].float(), PaddedCache.from_dynamic(cache, lengths)

    def extend(self, embedded: torch.Tensor, cache: DynamicCache, adapter: int) -> torch.Tensor:
        """Logits (S, V) behind each of S more embeddings (1, S, d) of one row; ``cache`` grows."""
        before, more = cache.get_seq_length(), embedded.shape[1]
        device = embedded.device
        with self.pool.activate([adapter]):
            logits: torch.Tensor = self.decoder.model(
                inputs_embeds=embedded,
                attention_mask=torch.ones(1, before + more, dtype=torch.long, device=device),
                position_ids=torch.arange(before, before + more, device=device)[None],
                past_key_values=cache,
                use_cache=True,
            ).logits  # (1, S, V)
        return logits[0].float()

    def step(
        self, tokens: Sequence[int], cache: PaddedCache, adapters: Sequence[int]
    ) -> tuple[torch.Tensor, PaddedCache]:
        """Logits (B, V) behind one more token of each row; ``cache`` itself stays as it was."""
        device = self.decoder.device
        lengths = [length + 1 for length in cache.lengths]
        grown = cache.to_dynamic()
        with self.pool.activate(adapters):
            logits = self.decoder.model(
                input_ids=torch.tensor(list(tokens), device=device)[:, None],
                attention_mask=left_mask(lengths, cache.width + 1, device),
                position_ids=torch.tensor(list(cache.lengths), device=device)[:, None],
                past_key_values=grown,
                use_cache=True,
                logits_to_keep=1,
            ).logits  # (B, 1, V)
        return logits[:, -1].float(), PaddedCache.from_dynamic(grown, lengths)

    def answer_nll(
        self, prompts: Sequence[PromptInput], adapters: Sequence[int], answer: Sequence[int]
    ) -> list[float]:
        """Mean negative log-likelihood, in nats a token, of an answer (T tokens) behind each of B prompts."""
        targets = torch.tensor(list(answer), device=self.decoder.device)  # (T,)
        embedded, lengths = self.embed(prompts)
        continuation = self.decoder.model.get_input_embeddings()(targets[:-1]).expand(len(prompts), -1, -1)
        whole = torch.cat([embedded, continuation.to(embedded)], 1)  # (B, S + T - 1, d)
        mask = left_mask([n + len(answer) - 1 for n in lengths], whole.shape[1], whole.device)
        with self.pool.activate(adapters):
            logits = self.decoder.model(
                inputs_embeds=whole,
                attention_mask=mask,
                position_ids=positions(mask),
                use_cache=False,
                logits_to_keep=len(answer),
            ).logits[:, -len(answer) :]  # (B, T, V)
        return [float(torch.nn.functional.cross_entropy(row.float(), targets)) for row in logits]
