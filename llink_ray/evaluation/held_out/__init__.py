"""Figures of bundles on any held-out text, between a floor and a ceiling."""
