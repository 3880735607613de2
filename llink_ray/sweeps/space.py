"""Search spaces: the settings of a sweep, the values each may take, and why."""

from __future__ import annotations

import importlib.util
import itertools
import json
import traceback
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
    distribution_to_json,
    json_to_distribution,
)

from llink_ray.errors import LlinkError
from llink_ray.settings import Settings, configure

Value = bool | int | float | str | None

_NOT_SEARCHED = ("corpus", "features", "evaluation", "cluster", "checkpoint", "deepspeed", "preset", "seed")
"""Sections that say what is measured, on what and where: no value of theirs is better than another."""


@dataclass(frozen=True)
class Parameter:
    """The values that one setting may take, and the reason for them."""

    distribution: BaseDistribution
    why: str

    @property
    def bounds(self) -> tuple[Value, ...]:
        """All choices, or both ends of a range: where these are valid, the values between are too."""
        d: Any = self.distribution
        return tuple(d.choices) if isinstance(d, CategoricalDistribution) else (d.low, d.high)

    def grid(self) -> list[Value] | None:
        """Every value; None where there is any number of them."""
        d = self.distribution
        if isinstance(d, CategoricalDistribution):
            return list(d.choices)
        if isinstance(d, IntDistribution) and not d.log:
            return list(range(d.low, d.high + 1, d.step))
        if isinstance(d, FloatDistribution) and d.step is not None:
            return [min(d.high, d.low + i * d.step) for i in range(round((d.high - d.low) / d.step) + 1)]
        return None

    def __str__(self) -> str:
        d: Any = self.distribution
        if isinstance(d, CategoricalDistribution):
            return f"one of {', '.join(map(str, d.choices))}"
        step = f" in steps of {d.step:g}" if d.step and (d.step, type(d)) != (1, IntDistribution) else ""
        return f"{d.low:g} to {d.high:g}{step}{', by ratio' if d.log else ''}"


def choice(*values: Value, why: str) -> Parameter:
    """One of ``values``, without an order between them."""
    for value in values:
        if not isinstance(value, Value):
            raise TypeError(f"{value!r} is no number, text, true, false or None")
    return Parameter(CategoricalDistribution(values), why)


def real(low: float, high: float, *, log: bool = False, step: float | None = None, why: str) -> Parameter:
    """A number from ``low`` to ``high``; with ``log`` each doubling is as likely as any other."""
    return Parameter(FloatDistribution(low, high, log=log, step=step), why)


def integer(low: int, high: int, *, log: bool = False, step: int = 1, why: str) -> Parameter:
    """A whole number from ``low`` to ``high``; with ``log`` each doubling is as likely as any other."""
    return Parameter(IntDistribution(low, high, log=log, step=step), why)


@dataclass(frozen=True)
class SearchSpace:
    """Settings by dotted name with their parameters."""

    name: str
    parameters: Mapping[str, Parameter]

    @property
    def distributions(self) -> dict[str, BaseDistribution]:
        """As Optuna takes them."""
        return {key: parameter.distribution for key, parameter in self.parameters.items()}

    def grid(self) -> list[dict[str, Value]]:
        """Every combination, the last setting fastest.

        Raises:
            LlinkError: a setting that can have any value between two.
        """
        values = []
        for key, parameter in self.parameters.items():
            if (every := parameter.grid()) is None:
                raise LlinkError(
                    f"--algorithm=grid: {key} is {parameter}, any number of values: give a step, or a choice"
                )
            values.append(every)
        return [dict(zip(self.parameters, row, strict=True)) for row in itertools.product(*values)]

    def frozen_model_configs(self) -> list[dict[str, Value]]:
        """Every combination of what is searched of encoder and decoder: each has features of its own."""
        keys = [key for key in self.parameters if key.startswith(("encoder.", "decoder."))]
        values = itertools.product(*(self.parameters[key].bounds for key in keys))
        return [dict(zip(keys, row, strict=True)) for row in values]

    def check(self, *layers: Mapping[str, Any]) -> None:
        """Refuse a space that the settings do not know, or that could draw a value they refuse.

        Args:
            layers: what the searched values are laid over.

        Raises:
            LlinkError: names the setting, and near ones where it is unknown.
        """
        known = configure.all_keys(Settings)
        for key, parameter in self.parameters.items():
            section = key.partition(".")[0]
            if section in _NOT_SEARCHED and key in known:
                raise LlinkError(
                    f"space {self.name}: {key} says what is measured, on what and where, so it cannot be "
                    "searched: set it once for the whole sweep with --set"
                )
            ranged = not isinstance(parameter.distribution, CategoricalDistribution)
            if section in ("encoder", "decoder") and ranged:
                raise LlinkError(
                    f"space {self.name}: {key} changes the features of the frozen models, which are computed "
                    "before the first trial: give a choice(…) of it"
                )
            for value in parameter.bounds:
                try:
                    configure.resolve(*layers, nested({key: value}))
                except LlinkError as error:
                    raise LlinkError(f"space {self.name}: {error}") from None

    def to_json(self) -> dict[str, Any]:
        """As it is kept with a sweep, which may outlive its file."""
        parameters = {
            key: {"distribution": json.loads(distribution_to_json(p.distribution)), "why": p.why}
            for key, p in self.parameters.items()
        }
        return {"name": self.name, "parameters": parameters}

    @staticmethod
    def from_json(record: Mapping[str, Any]) -> SearchSpace:
        """The reverse of :meth:`to_json`."""
        parameters = {
            key: Parameter(json_to_distribution(json.dumps(fields["distribution"])), fields["why"])
            for key, fields in record["parameters"].items()
        }
        return SearchSpace(record["name"], parameters)


def nested(config: Mapping[str, Any]) -> configure.Tree:
    """``{"slots.count": 4}`` as ``{"slots": {"count": 4}}``."""
    tree: configure.Tree = {}
    for key, value in config.items():
        for part in reversed(key.split(".")):
            value = {part: value}
        tree = configure.merge(tree, value)
    return tree


def load(name: str, folder: Path) -> SearchSpace:
    """The space ``name`` of ``folder``, or of a person's own Python file where ``name`` is a path.

    Raises:
        LlinkError: no such space, or the file does not hold one.
    """
    own = name.endswith(".py") or "/" in name
    path = Path(name).expanduser() if own else folder / f"{name}.py"
    if not path.is_file():
        if own:
            raise LlinkError(f"space {name} does not exist: give a Python file with a mapping SPACE in it")
        names = ", ".join(sorted(file.stem for file in folder.glob("*.py")))
        raise LlinkError(f"there is no space {name!r}: choose one of {names}, or give a file's path")
    spec = importlib.util.spec_from_file_location(f"llink_space_{path.stem}", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except Exception as error:  # a person's file may raise anything
        lines = [f.lineno for f in traceback.extract_tb(error.__traceback__) if f.filename == str(path)]
        line = f", line {lines[-1]}," if lines else ""
        reason = next(iter(str(error).splitlines()), "")
        raise LlinkError(
            f"space {path}{line} cannot be read ({type(error).__name__}: {reason}): correct it"
        ) from None
    space = getattr(module, "SPACE", None)
    if not isinstance(space, Mapping) or not space:
        raise LlinkError(f"space {path} holds no mapping SPACE: tune_spaces/ has examples")
    for key, parameter in space.items():
        if not isinstance(parameter, Parameter):
            raise LlinkError(f"space {path}: {key} is {parameter!r}: write choice(…), real(…) or integer(…)")
    return SearchSpace(path.stem, dict(space))
