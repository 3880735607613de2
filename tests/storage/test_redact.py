"""Sentences that leave the machine have no path of it in them."""

from __future__ import annotations

import pytest

from llink_ray.storage.redact import without_paths


@pytest.mark.parametrize(
    ("said", "left"),
    [
        ("/srv/registry/bo has no version v0009: it has v0001", "bo has no version v0009: it has v0001"),
        ("No such file: '/home/ada/models/x.safetensors'", "No such file: 'x.safetensors'"),
        ("slots in /srv/registry/bo/v0001, damaged", "slots in v0001, damaged"),
        ("see file:///srv/a/b and ~/models/c or C:\\models\\d", "see b and c or d"),
        ("s3://bucket/registry/bo is gone", "s3://bucket/registry/bo is gone"),
        ("3/4 of and/or km/h: /ready", "3/4 of and/or km/h: /ready"),
    ],
)
def test_paths_are_cut_to_their_last_part(said: str, left: str) -> None:
    assert without_paths(said) == left
