"""What lies in deploy/ fits what the service is."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from ray.serve.schema import ServeDeploySchema

from llink_ray.errors import LlinkError
from serve.app import application, build
from serve.metrics import Metrics
from serve.rpc_types import DecoderStats
from serve.settings import ServeSettings, resolve

ROOT = Path(__file__).parents[2]


def test_the_config_file_is_one_that_ray_takes_and_its_settings_are_ours() -> None:
    told = yaml.safe_load((ROOT / "deploy" / "serve.yaml").read_text(encoding="utf-8"))
    schema = ServeDeploySchema.model_validate(told)
    assert schema.http_options.host == "127.0.0.1"
    (one,) = schema.applications
    assert one.import_path == f"{build.__module__}:{build.__name__}"
    ServeSettings.model_validate(one.args)


def test_every_figure_of_the_dashboard_is_one_that_is_told() -> None:
    command = [sys.executable, "deploy/make_dashboard.py", "--check"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    metrics = Metrics()
    metrics.requests.labels("bo", "llink", "ok").inc()
    metrics.duration.labels("bo", "llink").observe(1)
    metrics.first_token.labels("bo", "llink").observe(1)
    metrics.tokens.labels("bo", "prompt").inc()
    metrics.slot_cache(2, 1)
    metrics.bundle_load("bo", "loaded")
    metrics.grounding.labels("bo").observe(1)
    metrics.decoder(DecoderStats(1, 0, 5, 0, ("bo",), 3, 2))
    told = {line.split("{")[0].split(" ")[0] for line in metrics.text().decode().splitlines()}
    for panel in json.loads((ROOT / "deploy" / "grafana.json").read_text(encoding="utf-8"))["panels"]:
        for target in panel["targets"]:
            names = set(re.findall(r"llink_\w+", target["expr"]))
            assert names and names <= told, target["expr"]


def test_an_empty_registry_says_how_to_teach(tmp_path: Path) -> None:
    with pytest.raises(LlinkError, match=r"no bundle yet.*jobs/train\.py --lang=tibetan.*--teach"):
        application(resolve(None, [f"registry={tmp_path / 'none'}"], {}))


def test_build_takes_arguments_of_the_command_line(tmp_path: Path) -> None:
    with pytest.raises(LlinkError, match="unknown setting 'regsitry'"):
        build({"regsitry": str(tmp_path)})
    with pytest.raises(LlinkError, match="no bundle yet"):
        build({"registry": str(tmp_path), "http": {"host": "127.0.0.1"}})
