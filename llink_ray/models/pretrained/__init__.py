"""Pretrained pairs of encoder and decoder: where they come from, and how they get here."""
