"""Prometheus metrics of this ingress replica; the decoder's are read when they are scraped."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from serve.rpc_types import DecoderStats

_SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
_NATS = (-1, -0.5, 0, 0.05, 0.25, 0.5, 1, 2, 4, 8)
_DECODER = {
    "requests_running": "Requests in the running batch.",
    "requests_waiting": "Requests waiting for a row of the batch.",
    "generated_tokens": "Tokens generated since the replica started.",
    "requests_cancelled": "Requests whose client disconnected.",
    "mean_batch_size": "Rows a step, mean since the replica started.",
    "adapters": "Adapters loaded on the base.",
}


class Metrics:
    """``llink_…``; languages and models are those served, so there are few label values."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        by = ("language", "model")
        self.requests = Counter("llink_requests", "Finished requests.", (*by, "outcome"), registry=registry)
        self.duration = Histogram(
            "llink_request_duration_seconds", "End-to-end latency.", by, buckets=_SECONDS, registry=registry
        )
        self.first_token = Histogram(
            "llink_time_to_first_token_seconds",
            "Time to the first text.",
            by,
            buckets=_SECONDS,
            registry=registry,
        )
        self.tokens = Counter(
            "llink_tokens",
            "Tokens by kind: prompt, prompt_raw (the text itself instead of slots), completion.",
            ("language", "kind"),
            registry=registry,
        )
        self._slot_cache = Counter(
            "llink_slot_cache_lookups",
            "Sentences looked up in the slot cache.",
            ("result",),
            registry=registry,
        )
        self._bundle_loads = Counter(
            "llink_bundle_loads", "Bundles loaded or refused.", ("language", "outcome"), registry=registry
        )
        self.grounding = Histogram(
            "llink_grounding_nats",
            "Nats a token by which answers are likelier with their text.",
            ("language",),
            buckets=_NATS,
            registry=registry,
        )
        self.in_flight = Gauge("llink_requests_in_flight", "Requests being answered.", registry=registry)
        self._decoder = {
            name: Gauge(f"llink_decoder_{name}", text, registry=registry) for name, text in _DECODER.items()
        }

    def bundle_load(self, language: str, outcome: str) -> None:
        """Count a bundle that was ``loaded`` or ``refused``."""
        self._bundle_loads.labels(language, outcome).inc()

    def slot_cache(self, sentences: int, hits: int) -> None:
        """Count lookups."""
        self._slot_cache.labels("hit").inc(hits)
        self._slot_cache.labels("miss").inc(sentences - hits)

    def decoder(self, stats: DecoderStats) -> None:
        """Set the decoder's gauges."""
        values = {
            "requests_running": stats.running,
            "requests_waiting": stats.waiting,
            "generated_tokens": stats.tokens,
            "requests_cancelled": stats.cancelled,
            "mean_batch_size": stats.rows / stats.steps if stats.steps else 0.0,
            "adapters": len(stats.adapters),
        }
        for name, value in values.items():
            self._decoder[name].set(value)

    def text(self) -> bytes:
        """Prometheus' text format."""
        return generate_latest(self.registry)
