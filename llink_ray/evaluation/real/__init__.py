"""Figures on anybody's held-out text, between a floor and a ceiling."""
