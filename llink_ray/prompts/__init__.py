"""Prompts: from an instruction and texts, or a conversation, to token ids with slots in them."""

SLOT_ID = -1
"""Stands in a list of token ids where a soft slot, or one of the two delimiters around them, goes."""
