"""Settings of the service: file, then ``KEY=VALUE``; complete and strict, like those of a training run."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Literal

from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt, model_validator

from llink_ray.errors import LlinkError
from llink_ray.network import is_loopback
from llink_ray.settings import Section, configure


class HttpSettings(Section):
    """Where it listens."""

    host: str = Field(default="127.0.0.1", min_length=1)
    """Address; another than loopback wants a key first."""
    port: int = Field(default=8_000, ge=1, le=65_535)
    """Port."""
    root_path: str = Field(default="", pattern=r"^(/[^/?#\s]+)*$")
    """Prefix that a proxy in front takes off, e.g. ``/llink``."""
    cors_origins: tuple[str, ...] = ()
    """Web pages whose scripts may call, e.g. ``https://example.org``; none by default."""


class KeySettings(Section):
    """Where keys come from; the keys themselves are no settings, so that nothing prints them."""

    file: str | None = None
    """YAML list of ``{name, key or sha256, expires, requests_per_minute, concurrent}``."""
    environment: str = Field(default="LLINK_API_KEYS", min_length=1)
    """Variable with ``name:key,name:key``, or one key alone."""
    admin_environment: str = Field(default="LLINK_ADMIN_KEY", min_length=1)
    """Variable with the key of the admin endpoints; without it they are closed."""


class LimitSettings(Section):
    """What one request, one key and all together may ask."""

    body_bytes: PositiveInt = 1_000_000
    """Bytes of a request's body, packed (gzip) and unpacked."""
    body_seconds: PositiveFloat = 20.0
    """Time in which a body has to come, and never more than ``seconds``; slower ones are closed with 408."""
    messages: PositiveInt = 64
    """Messages of a conversation."""
    characters: PositiveInt = 32_000
    """Characters of all messages together, or of all inputs."""
    sentences: PositiveInt = 64
    """Foreign sentences of a conversation."""
    inputs: PositiveInt = 256
    """Texts in one batch of embeddings or detections."""
    prompts: PositiveInt = 16
    """Prompts of one completion, each of which is answered."""
    max_tokens: PositiveInt = 512
    """Longest answer: what is asked for beyond is cut to it, and the answer says so."""
    stops: NonNegativeInt = 4
    """Stop strings of a request."""
    stop_characters: PositiveInt = 64
    """Characters of a stop string."""
    seconds: PositiveFloat = 60.0
    """Deadline of a request."""
    requests_per_minute: PositiveInt | None = None
    """Of one key, where the key has no figure of its own; nothing means no limit. In each ingress replica."""
    concurrent: PositiveInt | None = None
    """Requests of one key at once, likewise."""
    in_flight: PositiveInt = 512
    """Requests of all together at once in one ingress replica; more are answered with 503."""


class EngineSettings(Section):
    """Bounds of the running batch, as ``engine.EngineLimits`` has them."""

    rows: PositiveInt = 16
    """Requests that run together."""
    tokens: PositiveInt = 16_384
    """Places of keys and values at most."""
    prefill_tokens: PositiveInt = 2_048
    """Places of prompts read between two tokens of the others."""
    waiting: PositiveInt = 256
    """Requests that wait; more are answered with 429."""
    patience: NonNegativeInt = 2
    """Tokens that a request waits for company while half of the rows run."""


class DeploymentSettings(Section):
    """How one deployment is spread over Ray."""

    min_replicas: PositiveInt = 1
    """Replicas that always run."""
    max_replicas: PositiveInt = 1
    """Replicas under load."""
    max_ongoing_requests: PositiveInt = 256
    """Requests that one replica takes at once."""
    num_cpus: float = Field(default=0.2, ge=0.0)
    """CPUs each replica asks for; parts of one, too."""
    num_gpus: float = Field(default=0.0, ge=0.0)
    """GPUs, likewise."""
    shutdown_seconds: PositiveFloat = 30.0
    """How long a replica that is taken down may finish what it has begun."""

    @model_validator(mode="after")
    def _no_less_than_the_least(self) -> DeploymentSettings:
        if self.max_replicas < self.min_replicas:
            raise ValueError(
                f"max_replicas is {self.max_replicas}, less than min_replicas = {self.min_replicas}: raise it"
            )
        return self


class DeploymentsSettings(Section):
    """The three kinds of deployments; the defaults fit a machine of two cores."""

    ingress: DeploymentSettings = DeploymentSettings(num_cpus=0.2, max_ongoing_requests=1_024)
    """HTTP, keys, limits, routing."""
    encoder_server: DeploymentSettings = DeploymentSettings(num_cpus=0.3)
    """Encoder, projectors and slots; one deployment for each encoder."""
    decoder_server: DeploymentSettings = DeploymentSettings(num_cpus=0.5, max_ongoing_requests=512)
    """The base decoder with every language's adapter."""


class ServeSettings(Section):
    """Everything the service needs to know."""

    registry: str = Field(default="runs/registry", min_length=1)
    """Path or URI of the registry whose bundles answer."""
    decoder: str | None = None
    """Directory or hub id of the base decoder, where the bundles' own name does not lead to it."""
    encoders: dict[str, str] = Field(default_factory=dict)
    """The same for encoders, by their names in the bundles."""
    device: str = Field(default="cpu", min_length=1)
    """Where the models are put, as torch names it."""
    base_name: str | None = Field(default=None, min_length=1)
    """Public id of the base model; nothing means its own name."""
    unknown_language: Literal["refuse", "base"] = "refuse"
    """Text in a language that nobody taught: refuse it with 422, or leave it to the base as it stands."""
    system_texts: Literal["leave_out", "keep"] = "leave_out"
    """English system texts where a bundle answers: none is trained with them, and they make answers worse."""
    default_instruction: str | None = "Translate this into English."
    """Put before a message that is foreign text alone; nothing means that none is."""
    poll_seconds: PositiveFloat = 2.0
    """Seconds between two looks at the registry."""
    grace_seconds: float = Field(default=10.0, ge=0.0)
    """Seconds for what has begun when the service is told to stop; streams end with an error event then."""
    log_prompts: bool = False
    """Write what people ask into the log."""
    cache_bytes: NonNegativeInt = 64 << 20
    """Slots kept by each reader; 0 keeps none."""
    http: HttpSettings = HttpSettings()
    """Where it listens."""
    keys: KeySettings = KeySettings()
    """Who may ask."""
    limits: LimitSettings = LimitSettings()
    """How much."""
    engine: EngineSettings = EngineSettings()
    """The running batch."""
    deployments: DeploymentsSettings = DeploymentsSettings()
    """Replicas."""

    @model_validator(mode="after")
    def _answers_fit(self) -> ServeSettings:
        if self.limits.max_tokens >= self.engine.tokens:
            raise ValueError(
                f"limits.max_tokens is {self.limits.max_tokens}, and the {self.engine.tokens} places of "
                "engine.tokens hold prompt and answer: lower the one or raise the other"
            )
        if "*" in self.http.cors_origins and len(self.http.cors_origins) > 1:
            raise ValueError("http.cors_origins has '*' beside others: '*' alone means every page")
        return self


def require_keys(settings: ServeSettings, environment: Mapping[str, str] = os.environ) -> None:
    """Refuse to be open to a network without a key.

    Raises:
        LlinkError: another address than loopback, and no key.
    """
    keys = settings.keys
    if (
        not is_loopback(settings.http.host)
        and not keys.file
        and not environ_has(environment, keys.environment)
    ):
        raise LlinkError(
            f"http.host = {settings.http.host!r} lets other machines in, and there is no key: set keys.file "
            f"or the variable {keys.environment}, or listen on 127.0.0.1"
        )


def environ_has(environment: Mapping[str, str], name: str) -> bool:
    """Whether a variable is set to something."""
    return bool(environment.get(name, "").strip())


def resolve(
    file: str | None = None,
    assignments: Sequence[str] = (),
    environment: Mapping[str, str] = os.environ,
) -> ServeSettings:
    """Settings file, then ``KEY=VALUE`` in order, checked as a whole.

    Raises:
        LlinkError: an unknown key, an impossible value, or a service open to a network without a key.
    """
    settings = configure.gathered(ServeSettings, file, assignments)
    require_keys(settings, environment)
    return settings
