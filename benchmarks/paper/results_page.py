"""The tables' place in docs/results.md, and their few plots in docs/images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from llink_ray.errors import LlinkError
from paper.plan import ROOT

RESULTS = ROOT / "docs" / "results.md"
BEGIN, END = "<!-- paper-table:begin -->", "<!-- paper-table:end -->"
SHOWN = {"table": ("Figures", "Judge"), "ablations": ("Number of slots",)}
"""Plots that the docs show, by part."""


def between_markers(text: str, lines: Sequence[str], where: Path) -> str:
    """``text`` with the lines in place of what is between the markers.

    Raises:
        LlinkError: the markers are not there, once each and in order.
    """
    head, begin, rest = text.partition(BEGIN)
    _, end, tail = rest.partition(END)
    if not begin or not end or BEGIN in rest or END in head + tail:
        raise LlinkError(f"{where} needs the lines {BEGIN} and {END}, once each and in this order")
    inside = "\n".join(lines).strip("\n")
    return f"{head}{BEGIN}\n\n{inside}\n\n{END}{tail}"


def shown(drawn: Mapping[str, Mapping[str, Path]], folder: Path) -> dict[str, dict[str, str]]:
    """Put small copies of the plots that the docs show into ``folder``; addresses by part and title."""
    folder.mkdir(parents=True, exist_ok=True)
    addresses: dict[str, dict[str, str]] = {}
    for part, plots in drawn.items():
        addresses[part] = {}
        for title in SHOWN[part]:
            if title in plots:
                name = f"{part}-{plots[title].name}"
                halve(plots[title], folder / name)
                addresses[part][title] = f"{folder.name}/{name}"
    return addresses


def halve(source: Path, target: Path) -> None:
    """A PNG at half its width and height: the mean of each two by two pixels."""
    from matplotlib.image import imread, imsave

    pixels = imread(source)  # (height, width, 4), 0 to 1
    height, width = (size // 2 * 2 for size in pixels.shape[:2])
    square = pixels[:height, :width, :3].reshape(height // 2, 2, width // 2, 2, 3)
    imsave(target, square.mean((1, 3)))
