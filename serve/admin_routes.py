"""Models, health, metrics, and what an operator may do."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from fastapi import APIRouter
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.responses import JSONResponse, Response

from llink_ray.errors import LlinkError
from llink_ray.storage.redact import without_paths
from serve.catalog import ServedLanguage
from serve.errors import ApiError
from serve.request_guard import RequestGuard
from serve.responses import ModelCard, ModelList
from serve.service import AUTO


def router(edge: RequestGuard) -> APIRouter:
    """The endpoints."""
    routes = APIRouter()
    service, catalog = edge.service, edge.service.catalog

    def models() -> list[ModelCard]:
        taught = list(catalog.taught.values())
        base = ModelCard(id=service.base, created=0, owned_by="base")
        newest = max((_created(one) for one in taught), default=0)
        auto = ModelCard(
            id=AUTO,
            created=newest,
            owned_by="llink",
            root=AUTO,
            parent=service.base,
            llink={"languages": [one.language.code for one in taught]},
        )
        return [base, auto, *(_model(one, service.base) for one in taught)]

    @routes.get("/v1/models", tags=["models"])
    async def listed() -> ModelList:
        """The base, ``llink``, and a model for each language."""
        return ModelList(data=models())

    @routes.get("/v1/models/{name:path}", tags=["models"])
    async def one(name: str) -> ModelCard:
        """One model, with the version, parent and figures of its bundle."""
        for model in models():
            if model.id == name:
                return model
        chosen = await service.chosen(name)  # by another name of the language, or an older version
        if chosen.forced is None:
            raise ApiError.model_not_found(f"there is no model {name!r} here: GET /v1/models lists them")
        return _model(chosen.taught[chosen.forced], service.base)

    @routes.get("/health", tags=["state"])
    async def health() -> dict[str, str]:
        """The process answers."""
        return {"status": "ok"}

    @routes.get("/ready", tags=["state"])
    async def ready() -> JSONResponse:
        """200 once the models have answered."""
        told = {"status": "ready" if service.answered else "starting", "models": [m.id for m in models()]}
        return JSONResponse(told, 200 if service.answered else 503)

    @routes.get("/metrics", tags=["state"])
    async def metrics() -> Response:
        """Figures for Prometheus."""
        with suppress(LlinkError):
            service.metrics.decoder(await service.backend.load())
        return Response(service.metrics.text(), media_type=CONTENT_TYPE_LATEST)

    @routes.get("/admin/bundles", tags=["admin"])
    async def bundles() -> dict[str, Any]:
        """What answers and what was refused. Wants the admin key."""
        return _bundles(edge)

    @routes.post("/admin/reload", tags=["admin"])
    async def reload() -> dict[str, Any]:
        """Look at the registry now, and try what was refused once more. Wants the admin key."""
        try:
            await catalog.reload()
        except LlinkError as error:  # nothing is wrong with the request
            raise ApiError.overloaded(f"the registry cannot be read: {without_paths(str(error))}") from None
        return _bundles(edge)

    return routes


def _bundles(edge: RequestGuard) -> dict[str, Any]:
    catalog = edge.service.catalog
    answering = {
        code: {"version": one.ref.version, "digest": one.ref.digest} for code, one in catalog.taught.items()
    }
    refused = {name: without_paths(why) for name, why in catalog.refused.items()}
    return {"answering": answering, "refused": refused}


def _created(taught: ServedLanguage) -> int:
    return int(taught.info.created.timestamp())


def _model(taught: ServedLanguage, base: str) -> ModelCard:
    info = taught.info
    return ModelCard(
        id=f"{AUTO}:{taught.language.code}",
        created=_created(taught),
        owned_by="llink",
        root=AUTO,
        parent=base,
        llink={
            "language": taught.language.code,
            "name": taught.language.name,
            "own_name": taught.language.own_name,
            "direction": taught.language.direction,
            "version": taught.ref.version,
            "digest": taught.ref.digest,
            "encoder": info.encoder.id,
            "decoder": info.decoder.id,
            "corpus": "phrasebook" if taught.settings.corpus.path is None else "file",
            "slots": info.slots.model_dump(),
            "max_sentences": taught.settings.slots.max_sentences,
            "metrics": taught.metrics,
        },
    )
