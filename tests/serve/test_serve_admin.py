"""Health, readiness, metrics and the document of all routes."""

from __future__ import annotations

import httpx2
from serve_zoo import BO, Running


def test_state(api: Running) -> None:
    assert httpx2.get(f"{api.url}/health").json() == {"status": "ok"}
    ready = httpx2.get(f"{api.url}/ready")
    assert ready.status_code == 200 and "llink:bo" in ready.json()["models"]
    text = httpx2.get(f"{api.url}/metrics").text
    for name in (
        "llink_requests_total",
        "llink_time_to_first_token_seconds",
        "llink_slot_cache_lookups_total",
        "llink_decoder_generated_tokens",
    ):
        assert name in text
    for name in ("llink:TIBETAN", "llink:bod_Tibt", "nobody-knows-this"):  # callers make no new series
        httpx2.post(f"{api.url}/v1/embeddings", json={"model": name, "input": BO})
        httpx2.post(f"{api.url}/v1/completions", json={"model": name, "prompt": BO, "max_tokens": 1})
    response = httpx2.get(f"{api.url}/metrics").text
    assert not [
        line for line in response.splitlines() if "TIBETAN" in line or "Tibt" in line or "nobody" in line
    ]
    document = httpx2.get(f"{api.url}/openapi.json").json()
    assert {"/v1/chat/completions", "/v1/embeddings", "/v1/detect", "/v1/tokenize"} <= set(document["paths"])
    assert httpx2.get(f"{api.url}/admin/bundles").status_code == 403
