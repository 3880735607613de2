"""Settings of the service: a file, then ``KEY=VALUE``; complete and strict."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt, model_validator

from llink_ray.errors import LlinkError
from llink_ray.network import is_loopback
from llink_ray.settings import Section, configure


class HttpSettings(Section):
    """HTTP server."""

    host: str = Field(default="127.0.0.1", min_length=1)
    """Address; one that other machines reach needs a key."""
    port: int = Field(default=8_000, ge=1, le=65_535)
    """Port."""
    root_path: str = Field(default="", pattern=r"^(/[^/?#\s]+)*$")
    """Prefix that a proxy in front removes, e.g. ``/llink``."""
    cors_origins: tuple[str, ...] = ()
    """Origins of web pages whose scripts may call, e.g. ``https://example.org``; none by default."""


class KeySettings(Section):
    """Sources of API keys; the keys themselves are no settings, so that nothing prints them."""

    file: str | None = None
    """YAML list of ``{name, key or sha256, expires, requests_per_minute, concurrent}``."""
    environment: str = Field(default="LLINK_API_KEYS", min_length=1)
    """Environment variable with ``name:key,name:key``, or one key alone."""
    admin_environment: str = Field(default="LLINK_ADMIN_KEY", min_length=1)
    """Environment variable with the key of the admin endpoints; without it they are closed."""


class LimitSettings(Section):
    """Bounds of one request, one key and all together."""

    body_bytes: PositiveInt = 1_000_000
    """Size of a request's body, packed (gzip) and unpacked."""
    body_seconds: PositiveFloat = 20.0
    """Time in which a body has to come, at most ``seconds``; slower ones are closed with 408."""
    messages: PositiveInt = 64
    """Messages of a conversation."""
    characters: PositiveInt = 32_000
    """Characters of all messages together, or of all inputs."""
    sentences: PositiveInt = 64
    """Foreign sentences of a conversation."""
    inputs: PositiveInt = 256
    """Texts of one request for embeddings or detection."""
    prompts: PositiveInt = 16
    """Prompts of one completion request."""
    max_tokens: PositiveInt = 512
    """Longest answer: larger requests are reduced to it, and the answer says so."""
    stops: NonNegativeInt = 4
    """Stop strings of a request."""
    stop_characters: PositiveInt = 64
    """Characters of a stop string."""
    seconds: PositiveFloat = 60.0
    """Deadline of a request."""
    requests_per_minute: PositiveInt | None = None
    """Of one key without a limit of its own, in each ingress replica; null for no limit."""
    concurrent: PositiveInt | None = None
    """Concurrent requests of one key, likewise."""
    in_flight: PositiveInt = 512
    """Concurrent requests of all keys in one ingress replica; more are answered with 503."""


class EngineSettings(Section):
    """Bounds of the running batch, as ``engine.EngineLimits`` has them."""

    rows: PositiveInt = 16
    """Rows of the running batch."""
    tokens: PositiveInt = 16_384
    """Positions of the KV cache."""
    prefill_tokens: PositiveInt = 2_048
    """Prompt tokens that are read between two decoding steps."""
    waiting: PositiveInt = 256
    """Length of the queue; more are answered with 429."""
    patience: NonNegativeInt = 2
    """Decoding steps that a request may wait for others to join with while half of the rows run."""


class DeploymentSettings(Section):
    """Replicas and resources of one deployment."""

    min_replicas: PositiveInt = 1
    """Replicas without load."""
    max_replicas: PositiveInt = 1
    """Replicas under load."""
    max_ongoing_requests: PositiveInt = 256
    """Concurrent requests of one replica."""
    num_cpus: float = Field(default=0.2, ge=0.0)
    """CPUs of each replica; fractions, too."""
    num_gpus: float = Field(default=0.0, ge=0.0)
    """GPUs, likewise."""
    shutdown_seconds: PositiveFloat = 30.0
    """Time that a replica that is taken down has to finish its requests."""

    @model_validator(mode="after")
    def _check_range(self) -> DeploymentSettings:
        if self.max_replicas < self.min_replicas:
            raise ValueError(
                f"max_replicas is {self.max_replicas}, less than min_replicas = {self.min_replicas}: raise it"
            )
        return self


class DeploymentsSettings(Section):
    """The three kinds of deployments; the defaults fit a machine of two cores."""

    @model_validator(mode="before")
    @classmethod
    def _refuse_old_names(cls, value: Any) -> Any:
        if isinstance(value, Mapping):
            for old, new in (("reader", "encoder_server"), ("speaker", "decoder_server")):
                if old in value:
                    raise ValueError(f"deployments.{old} is now deployments.{new}: rename it")
        return value

    ingress: DeploymentSettings = DeploymentSettings(num_cpus=0.2, max_ongoing_requests=1_024)
    """HTTP, keys, limits, language detection, prompts."""
    encoder_server: DeploymentSettings = DeploymentSettings(num_cpus=0.3)
    """Encoder, projectors and slots; one deployment for each encoder."""
    decoder_server: DeploymentSettings = DeploymentSettings(num_cpus=0.5, max_ongoing_requests=512)
    """The base decoder with every language's adapter."""


class ServeSettings(Section):
    """All settings of the service."""

    registry: str = Field(default="runs/registry", min_length=1)
    """Path or URI of the registry whose bundles answer."""
    decoder: str | None = None
    """Directory or hub id of the base decoder, where the bundles' own name for it does not resolve here."""
    encoders: dict[str, str] = Field(default_factory=dict)
    """Likewise for encoders, by their names in the bundles."""
    device: str = Field(default="cpu", min_length=1)
    """Device of the models, as torch names it."""
    base_name: str | None = Field(default=None, min_length=1)
    """Public id of the base model; null for its own name."""
    unknown_language: Literal["refuse", "base"] = "refuse"
    """Text in a language without a bundle: refuse it with 422, or leave it to the base as it stands."""
    system_texts: Literal["leave_out", "keep"] = "leave_out"
    """English system messages where a bundle answers: none is trained with them, so they harm answers."""
    default_instruction: str | None = "Translate this into English."
    """Instruction before a message of foreign text alone; null for none."""
    poll_seconds: PositiveFloat = 2.0
    """Seconds between two reads of the registry."""
    grace_seconds: float = Field(default=10.0, ge=0.0)
    """Seconds that requests under way have when the service stops; then streams end with an error event."""
    log_prompts: bool = False
    """Write prompts into the log."""
    cache_bytes: NonNegativeInt = 64 << 20
    """Slot cache of each encoder server; 0 for none."""
    http: HttpSettings = HttpSettings()
    """HTTP server."""
    keys: KeySettings = KeySettings()
    """API keys."""
    limits: LimitSettings = LimitSettings()
    """Bounds of requests."""
    engine: EngineSettings = EngineSettings()
    """The running batch."""
    deployments: DeploymentsSettings = DeploymentsSettings()
    """Replicas and resources."""

    @model_validator(mode="after")
    def _check_together(self) -> ServeSettings:
        if self.limits.max_tokens >= self.engine.tokens:
            raise ValueError(
                f"limits.max_tokens is {self.limits.max_tokens}, and the {self.engine.tokens} places of "
                "engine.tokens hold prompt and answer: lower the one or raise the other"
            )
        if "*" in self.http.cors_origins and len(self.http.cors_origins) > 1:
            raise ValueError("http.cors_origins has '*' beside others: '*' alone means every page")
        return self


def require_keys(settings: ServeSettings, environment: Mapping[str, str] = os.environ) -> None:
    """Refuse to listen on a network without a key.

    Raises:
        LlinkError: another address than loopback, and no key.
    """
    keys = settings.keys
    has_keys = keys.file or environment.get(keys.environment, "").strip()
    if not has_keys and not is_loopback(settings.http.host):
        raise LlinkError(
            f"http.host = {settings.http.host!r} lets other machines in, and there is no key: set keys.file "
            f"or the variable {keys.environment}, or listen on 127.0.0.1"
        )


def resolve(
    file: str | None = None,
    assignments: Sequence[str] = (),
    environment: Mapping[str, str] = os.environ,
) -> ServeSettings:
    """Settings file, then ``KEY=VALUE`` in order, checked as a whole.

    Raises:
        LlinkError: an unknown key, an impossible value, or a service open to a network without a key.
    """
    settings = configure.load_settings(ServeSettings, file, assignments)
    require_keys(settings, environment)
    return settings
