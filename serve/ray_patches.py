"""Replicas speak with one another alone: no port is open further than Ray's own, and no proxy between."""

from __future__ import annotations

from typing import Any

_ANY = "[::]:"
_NO_PROXY = ("grpc.enable_http_proxy", 0)


def close() -> None:
    """Have the replica in this process listen on its node's address alone, and call others without a proxy.

    Ray Serve 2.60 opens a gRPC port in each replica on every address of the machine, whatever host is set,
    and has no setting for it. It is opened once the deployment's object is made, so call this from there.
    """
    import ray
    from ray.serve._private import replica

    call_directly()
    opened = replica.add_port_to_grpc_server
    if getattr(opened, "closed", False):
        return
    address = ray.util.get_node_ip_address()
    host = f"[{address}]" if ":" in address else address

    def open_here(server: Any, wanted: str) -> Any:
        return opened(server, f"{host}:{wanted.removeprefix(_ANY)}" if wanted.startswith(_ANY) else wanted)

    open_here.closed = True  # type: ignore[attr-defined]
    replica.add_port_to_grpc_server = open_here


def call_directly() -> None:
    """Have this process call replicas past the proxy that its environment may name.

    Ray's other channels have the option; those of Serve 2.60 to replicas lack it, and gRPC would have the
    nodes of a cluster ask a proxy for one another.
    """
    from ray.serve._private.request_router import replica_wrapper

    made = replica_wrapper.init_grpc_channel
    if getattr(made, "direct", False):
        return

    def make(address: str, options: Any = (), **more: Any) -> Any:
        return made(address, options=[*(options or ()), _NO_PROXY], **more)

    make.direct = True  # type: ignore[attr-defined]
    replica_wrapper.init_grpc_channel = make
