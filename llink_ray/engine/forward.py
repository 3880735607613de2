"""One forward pass of the base decoder over many rows: prompts, single tokens, given answers."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from transformers import DynamicCache

from llink_ray.engine.adapter_pool import AdapterPool
from llink_ray.engine.kv_cache import PaddedCache, left_mask
from llink_ray.engine.types import PromptInput
from llink_ray.models.decoder import Decoder, positions
from llink_ray.prompts.builder import SLOT_ID


class Forward:
    """The decoder and its adapters. Row ``i`` has the pool's adapter ``adapters[i]``; logits are float32."""

    def __init__(self, decoder: Decoder, pool: AdapterPool) -> None:
        self.decoder, self.pool = decoder, pool

    def embed(self, inputs: Sequence[PromptInput]) -> tuple[torch.Tensor, list[int]]:
        """Left-padded input embeddings (B, S, d) and the B lengths."""
        lengths = [prompt.length for prompt in inputs]
        width = max(lengths)
        ids = torch.zeros(len(inputs), width, dtype=torch.long)  # (B, S)
        for i, prompt in enumerate(inputs):
            if prompt.embedded is None:
                ids[i, width - lengths[i] :] = torch.tensor(prompt.ids)
        ids = ids.to(self.decoder.device)
        embedded: torch.Tensor = self.decoder.model.get_input_embeddings()(ids.clamp(min=0))  # (B, S, d)
        for i, prompt in enumerate(inputs):
            if prompt.embedded is not None:
                embedded[i, width - lengths[i] :] = prompt.embedded.to(embedded)
            elif prompt.slots is not None:
                embedded[i, ids[i] == SLOT_ID] = prompt.slots.to(embedded)
        return embedded, lengths

    def prefill(
        self, inputs: Sequence[PromptInput], adapters: Sequence[int]
    ) -> tuple[torch.Tensor, PaddedCache]:
        """Logits (B, V) behind B prompts, and what the decoder remembers of them."""
        embedded, lengths = self.embed(inputs)
        mask = left_mask(lengths, embedded.shape[1], embedded.device)  # (B, S)
        cache = DynamicCache()
        with self.pool.using(adapters):
            logits = self.decoder.model(
                inputs_embeds=embedded,
                attention_mask=mask,
                position_ids=positions(mask),
                past_key_values=cache,
                use_cache=True,
                logits_to_keep=1,
            ).logits  # (B, 1, V)
        return logits[:, -1].float(), PaddedCache.taken(cache, lengths)

    def read(self, embedded: torch.Tensor, cache: DynamicCache, adapter: int) -> torch.Tensor:
        """Logits (S, V) behind each of S more embeddings (1, S, d) of one row; ``cache`` grows."""
        before, more = cache.get_seq_length(), embedded.shape[1]
        device = embedded.device
        with self.pool.using([adapter]):
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
        """Logits (B, V) behind one more token for each row; ``cache`` itself stays as it was."""
        device = self.decoder.device
        lengths = [length + 1 for length in cache.lengths]
        grown = cache.dynamic()
        with self.pool.using(adapters):
            logits = self.decoder.model(
                input_ids=torch.tensor(list(tokens), device=device)[:, None],
                attention_mask=left_mask(lengths, cache.width + 1, device),
                position_ids=torch.tensor(list(cache.lengths), device=device)[:, None],
                past_key_values=grown,
                use_cache=True,
                logits_to_keep=1,
            ).logits  # (B, 1, V)
        return logits[:, -1].float(), PaddedCache.taken(grown, lengths)

    def nats(
        self, inputs: Sequence[PromptInput], adapters: Sequence[int], answer: Sequence[int]
    ) -> list[float]:
        """Mean surprise, in nats a token, of the T tokens of one answer behind each of B prompts."""
        given = torch.tensor(list(answer), device=self.decoder.device)  # (T,)
        embedded, lengths = self.embed(inputs)
        said = self.decoder.model.get_input_embeddings()(given[:-1]).expand(len(inputs), -1, -1)
        whole = torch.cat([embedded, said.to(embedded)], 1)  # (B, S + T - 1, d)
        mask = left_mask([n + len(answer) - 1 for n in lengths], whole.shape[1], whole.device)
        with self.pool.using(adapters):
            logits = self.decoder.model(
                inputs_embeds=whole,
                attention_mask=mask,
                position_ids=positions(mask),
                use_cache=False,
                logits_to_keep=len(answer),
            ).logits[:, -len(answer) :]  # (B, T, V)
        return [
            float(torch.nn.functional.cross_entropy(row.float(), given))  # (T, V), (T,)
            for row in logits
        ]
