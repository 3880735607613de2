"""What a sweep searches: settings, the values each may take, and why."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from llink_ray.errors import LlinkError
from llink_ray.settings import Settings, configure

Value = bool | int | float | str | None

_FIXED = ("corpus", "features", "evaluation", "cluster", "checkpoint", "deepspeed", "preset", "seed")
"""Sections that say what is measured, on what and where: their values are no recipe, so none is best."""


@dataclass(frozen=True)
class Choice:
    """One of some values, without an order between them."""

    values: tuple[Value, ...]
    why: str

    @property
    def corners(self) -> tuple[Value, ...]:
        """Values whose being possible makes the whole range so."""
        return self.values

    def __str__(self) -> str:
        return f"one of {', '.join(map(str, self.values))}"


@dataclass(frozen=True)
class Range:
    """Numbers between two, both included."""

    low: float
    high: float
    log: bool
    """Drawn so that each doubling is as likely as any other."""
    step: float | None
    """Between two values; nothing: any number, or with ``log`` any whole one."""
    whole: bool
    why: str

    @property
    def corners(self) -> tuple[Value, ...]:
        """Values whose being possible makes the whole range so."""
        return self.low, self.high

    def __str__(self) -> str:
        step = f" in steps of {self.step:g}" if self.step and (self.step != 1 or not self.whole) else ""
        return f"{self.low:g} to {self.high:g}{step}{', by ratio' if self.log else ''}"


Distribution = Choice | Range


def choice(*values: Value, why: str) -> Choice:
    """One of ``values``."""
    return Choice(values, why)


def real(low: float, high: float, *, log: bool = False, step: float | None = None, why: str) -> Range:
    """A number from ``low`` to ``high``."""
    return Range(float(low), float(high), log, step, False, why)


def integer(low: int, high: int, *, log: bool = False, step: int = 1, why: str) -> Range:
    """A whole number from ``low`` to ``high``."""
    return Range(low, high, log, None if log else step, True, why)


@dataclass(frozen=True)
class Space:
    """A named set of settings with their distributions."""

    name: str
    ranges: Mapping[str, Distribution]

    def of(self, section: str) -> list[str]:
        """Searched settings of one section."""
        return [key for key in self.ranges if key.startswith(f"{section}.")]

    def models(self) -> Iterator[dict[str, Value]]:
        """Every combination of what is searched of the frozen models: each has features of its own."""
        found: list[dict[str, Value]] = [{}]
        for key in [*self.of("encoder"), *self.of("decoder")]:
            found = [{**one, key: value} for one in found for value in self.ranges[key].corners]
        yield from found

    def check(self, *layers: Mapping[str, Any]) -> None:
        """Refuse a space that the settings do not know, or that could draw a value they refuse.

        Args:
            layers: what the searched values are laid over.

        Raises:
            LlinkError: names the setting, and near ones where it is unknown.
        """
        for key, distribution in self.ranges.items():
            known = configure.all_keys(Settings)
            section = key.partition(".")[0]
            if section in _FIXED and key in known:
                raise LlinkError(
                    f"space {self.name}: {key} says what is measured, on what and where, so it cannot be "
                    "searched: set it once for the whole sweep with --set"
                )
            if section in ("encoder", "decoder") and isinstance(distribution, Range):
                raise LlinkError(
                    f"space {self.name}: {key} changes the features of the frozen models, which are computed "
                    "before the first trial: give a choice(…) of it"
                )
            for value in distribution.corners:
                try:
                    configure.resolve(*layers, tree({key: value}))
                except LlinkError as error:
                    raise LlinkError(f"space {self.name}: {error}") from None

    def as_json(self) -> dict[str, Any]:
        """As it is kept beside a sweep, which its file may outlive."""
        return {
            "name": self.name,
            "ranges": {
                key: {"kind": "choice" if isinstance(d, Choice) else "range", **asdict(d)}
                for key, d in self.ranges.items()
            },
        }


def from_json(told: Mapping[str, Any]) -> Space:
    """The reverse of :meth:`Space.as_json`."""
    ranges: dict[str, Distribution] = {}
    for key, fields in told["ranges"].items():
        given = {name: value for name, value in fields.items() if name != "kind"}
        if fields["kind"] == "choice":
            ranges[key] = Choice(tuple(given["values"]), given["why"])
        else:
            ranges[key] = Range(**given)
    return Space(told["name"], ranges)


def tree(config: Mapping[str, Any]) -> configure.Tree:
    """``{"slots.count": 4}`` as ``{"slots": {"count": 4}}``."""
    result: configure.Tree = {}
    for key, value in config.items():
        *sections, last = key.split(".")
        inner: configure.Tree = {last: value}
        for name in reversed(sections):
            inner = {name: inner}
        result = configure.merge(result, inner)
    return result


def load(name: str, folder: Path) -> Space:
    """The space ``name`` of ``folder``, or of a person's own Python file where ``name`` is a path.

    Raises:
        LlinkError: no such space, or the file does not hold one.
    """
    own = name.endswith(".py") or "/" in name
    path = Path(name).expanduser() if own else folder / f"{name}.py"
    if not path.is_file():
        if own:
            raise LlinkError(f"space {name} does not exist: give a Python file with a mapping SPACE in it")
        there = sorted(file.stem for file in folder.glob("*.py"))
        raise LlinkError(
            f"there is no space {name!r}: choose one of {', '.join(there)}, or give a file's path"
        )
    spec = importlib.util.spec_from_file_location(f"llink_space_{path.stem}", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except Exception as error:  # a person's file may raise anything
        said = next(iter(str(error).splitlines()), "")
        raise LlinkError(f"space {path} cannot be read ({type(error).__name__}: {said}): mend it") from None
    found = getattr(module, "SPACE", None)
    if not isinstance(found, Mapping) or not found:
        raise LlinkError(f"space {path} holds no mapping SPACE: see tune_spaces/ for how one looks")
    for key, distribution in found.items():
        _check_one(path, key, distribution)
    return Space(path.stem, dict(found))


def _check_one(path: Path, key: object, distribution: object) -> None:
    if not isinstance(distribution, Choice | Range):
        raise LlinkError(f"space {path}: {key} is {distribution!r}: write choice(…), real(…) or integer(…)")
    if isinstance(distribution, Choice):
        if not distribution.values:
            raise LlinkError(f"space {path}: {key} is a choice of nothing: give it values")
        for value in distribution.values:
            if not isinstance(value, bool | int | float | str | None):
                raise LlinkError(f"space {path}: {key} = {value!r} is no number, text, true, false or null")
        return
    if not distribution.low < distribution.high:
        raise LlinkError(
            f"space {path}: {key} goes from {distribution.low:g} to {distribution.high:g}: "
            "the second has to be the larger"
        )
    if distribution.log and (distribution.low <= 0 or distribution.step is not None):
        raise LlinkError(f"space {path}: {key} is drawn by ratio: begin above 0, without a step")
