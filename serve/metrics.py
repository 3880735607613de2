"""Figures for Prometheus, of this ingress replica; the decoder is asked for its own when they are read."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from serve.rpc_types import DecoderStats

_SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
_NATS = (-1, -0.5, 0, 0.05, 0.25, 0.5, 1, 2, 4, 8)


class Metrics:
    """``llink_…`` by language, model and outcome; languages and models are those served, so they are few."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        by = ("language", "model")
        self.requests = Counter(
            "llink_requests", "Requests that ended.", (*by, "outcome"), registry=self.registry
        )
        self.seconds = Histogram(
            "llink_request_seconds", "From request to end.", by, buckets=_SECONDS, registry=self.registry
        )
        self.first = Histogram(
            "llink_first_token_seconds", "To the first text.", by, buckets=_SECONDS, registry=self.registry
        )
        self.tokens = Counter(
            "llink_tokens",
            "Decoder tokens: fed, what the raw text would have been, made.",
            ("language", "kind"),
            registry=self.registry,
        )
        self.reads = Counter(
            "llink_slot_reads",
            "Sentences made slots, from the cache or anew.",
            ("outcome",),
            registry=self.registry,
        )
        self.bundles = Counter(
            "llink_bundle_loads",
            "Bundles loaded or refused.",
            ("language", "outcome"),
            registry=self.registry,
        )
        self.grounding = Histogram(
            "llink_grounding_nats",
            "Nats a token by which answers lean on their text.",
            ("language",),
            buckets=_NATS,
            registry=self.registry,
        )
        self.open = Gauge("llink_open_requests", "Requests being answered.", registry=self.registry)
        self._decoder = {
            name: Gauge(f"llink_decoder_{name}", text, registry=self.registry)
            for name, text in (
                ("running", "Rows of the running batch."),
                ("waiting", "Requests that wait for a row."),
                ("tokens", "Tokens made since the replica started."),
                ("cancelled", "Requests whose caller went away."),
                ("mean_batch", "Rows a step, mean since the replica started."),
                ("adapters", "Adapters on the base."),
            )
        }

    def bundle(self, language: str, outcome: str) -> None:
        """A bundle was loaded or refused."""
        self.bundles.labels(language, outcome).inc()

    def read(self, sentences: int, hits: int) -> None:
        """Sentences became slots."""
        self.reads.labels("hit").inc(hits)
        self.reads.labels("miss").inc(sentences - hits)

    def decoder(self, load: DecoderStats) -> None:
        """What a decoder replica is at."""
        told = {
            "running": load.running,
            "waiting": load.waiting,
            "tokens": load.tokens,
            "cancelled": load.cancelled,
            "mean_batch": load.rows / load.steps if load.steps else 0.0,
            "adapters": len(load.adapters),
        }
        for name, value in told.items():
            self._decoder[name].set(value)

    def text(self) -> bytes:
        """In Prometheus' format."""
        return generate_latest(self.registry)
