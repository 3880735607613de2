"""Figures read off the device in one go, and rates that count the steps alone."""

from __future__ import annotations

import time

import pytest
import torch

from llink_ray.training.telemetry import MACHINE_PREFIXES, Throughput, to_floats


def test_numbers_keep_their_names_order_and_last_digit() -> None:
    third = torch.tensor(1 / 3)
    figures = to_floats(
        {"loss": third, "learning_rate": 1e-3, "norm": torch.tensor(2.5, dtype=torch.float64)}
    )
    assert list(figures.items()) == [("loss", float(third)), ("learning_rate", 1e-3), ("norm", 2.5)]
    assert all(type(value) is float for value in figures.values())


def test_rates_are_of_the_steps_alone() -> None:
    throughput = Throughput()
    for _ in range(2):
        with throughput.measured():
            time.sleep(0.05)
            throughput.count(examples=8, tokens=40, waited=0.01)
        time.sleep(0.2)  # an evaluation
    figures = throughput.read(torch.device("cpu"))
    seconds = figures["throughput/step_seconds"]
    assert 0.05 <= seconds < 0.2
    assert figures["throughput/data_wait_seconds"] == pytest.approx(0.01)
    assert figures["throughput/examples_per_second"] == pytest.approx(8 / seconds)
    assert figures["throughput/tokens_per_second"] == pytest.approx(40 / seconds)
    assert figures["memory/device_bytes"] > 1e6
    assert all(name.startswith(MACHINE_PREFIXES) for name in figures)

    throughput.count(examples=8, tokens=0, waited=0.5)
    again = throughput.read(torch.device("cpu"))
    assert again["throughput/data_wait_seconds"] == 0.5, "begun anew"
    assert "throughput/tokens_per_second" not in again, "Stage A reads no tokens"
