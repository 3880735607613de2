"""Write deploy/grafana.json from the list below.

python deploy/make_dashboard.py            # write it
python deploy/make_dashboard.py --check    # only say whether the file is current
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

FILE = Path(__file__).with_name("grafana.json")
_RATE = "[$__rate_interval]"
_BY = "language, model"
PANELS: tuple[tuple[str, str, dict[str, str]], ...] = (
    (
        "Requests a second by language and outcome",
        "reqps",
        {"{{language}} {{outcome}}": f"sum by (language, outcome) (rate(llink_requests_total{_RATE}))"},
    ),
    ("Open requests", "short", {"open": "sum(llink_requests_in_flight)"}),
    (
        "Time of a request, half and 95 %",
        "s",
        {
            f"{name} {{{{language}}}}": f"histogram_quantile({share}, sum by (le, {_BY}) "
            f"(rate(llink_request_duration_seconds_bucket{_RATE})))"
            for name, share in (("half", 0.5), ("95 %", 0.95))
        },
    ),
    (
        "Time to the first token, half and 95 %",
        "s",
        {
            f"{name} {{{{language}}}}": f"histogram_quantile({share}, sum by (le, {_BY}) "
            f"(rate(llink_time_to_first_token_seconds_bucket{_RATE})))"
            for name, share in (("half", 0.5), ("95 %", 0.95))
        },
    ),
    (
        "Tokens a second: fed, raw text instead, made",
        "short",
        {"{{kind}}": f"sum by (kind) (rate(llink_tokens_total{_RATE}))"},
    ),
    (
        "Sentences from the slot cache",
        "percentunit",
        {
            "share": f'sum(rate(llink_slot_cache_lookups_total{{result="hit"}}{_RATE})) / '
            f"sum(rate(llink_slot_cache_lookups_total{_RATE}))"
        },
    ),
    (
        "The running batch",
        "short",
        {
            "running": "sum(llink_decoder_requests_running)",
            "waiting": "sum(llink_decoder_requests_waiting)",
            "mean rows a step": "avg(llink_decoder_mean_batch_size)",
        },
    ),
    (
        "Bundles loaded and refused in an hour",
        "short",
        {"{{language}} {{outcome}}": "sum by (language, outcome) (increase(llink_bundle_loads_total[1h]))"},
    ),
    (
        "Answers that lean on their text: nats a token, half of them",
        "short",
        {
            "{{language}}": "histogram_quantile(0.5, sum by (le, language) "
            f"(rate(llink_grounding_nats_bucket{_RATE})))"
        },
    ),
    ("Callers that went away", "short", {"cancelled": "sum(llink_decoder_requests_cancelled)"}),
)


def dashboard() -> dict[str, Any]:
    """As Grafana imports it; the data source is asked for there."""
    return {
        "__inputs": [{"name": "DS", "label": "Prometheus", "type": "datasource", "pluginId": "prometheus"}],
        "title": "llink_ray",
        "uid": "llink-ray",
        "schemaVersion": 39,
        "refresh": "10s",
        "time": {"from": "now-1h", "to": "now"},
        "panels": [_panel(number, *panel) for number, panel in enumerate(PANELS)],
    }


def _panel(number: int, title: str, unit: str, queries: dict[str, str]) -> dict[str, Any]:
    source = {"type": "prometheus", "uid": "${DS}"}
    return {
        "id": number + 1,
        "type": "timeseries",
        "title": title,
        "datasource": source,
        "gridPos": {"h": 8, "w": 12, "x": 12 * (number % 2), "y": 8 * (number // 2)},
        "fieldConfig": {"defaults": {"unit": unit}, "overrides": []},
        "targets": [
            {"refId": chr(ord("A") + i), "datasource": source, "expr": query, "legendFormat": legend}
            for i, (legend, query) in enumerate(queries.items())
        ],
    }


def text() -> str:
    """The file."""
    return json.dumps(dashboard(), indent=1) + "\n"


if __name__ == "__main__":
    if "--check" in sys.argv[1:]:
        if FILE.read_text(encoding="utf-8") != text():
            sys.exit("deploy/grafana.json is not what its panels say: run python deploy/make_dashboard.py")
    else:
        FILE.write_text(text(), encoding="utf-8")
