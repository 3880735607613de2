"""Prompts: from an instruction and texts, or from a conversation, to token ids with positions for slots."""

SLOT_ID = -1
"""Stands in a list of token ids where a soft slot, or one of the delimiters around them, goes."""
DELIMITERS = 2
"""Learned embeddings around the slots of each text: one that opens, one that closes."""
