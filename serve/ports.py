"""No port of the service is open further than Ray's own."""

from __future__ import annotations

from typing import Any

_ANY = "[::]:"


def close() -> None:
    """Have the replica in this process listen on its node's address alone.

    Ray Serve 2.60 opens a gRPC port in each replica on every address of the machine, whatever host is set,
    and has no setting for it. It is opened once the deployment's object is made, so call this from there.
    """
    import ray
    from ray.serve._private import replica

    opened = replica.add_port_to_grpc_server
    if getattr(opened, "closed", False):
        return
    address = ray.util.get_node_ip_address()
    host = f"[{address}]" if ":" in address else address

    def open_here(server: Any, wanted: str) -> Any:
        return opened(server, f"{host}:{wanted.removeprefix(_ANY)}" if wanted.startswith(_ANY) else wanted)

    open_here.closed = True  # type: ignore[attr-defined]
    replica.add_port_to_grpc_server = open_here
