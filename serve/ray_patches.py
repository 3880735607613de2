"""Two changes of Ray Serve 2.60: replicas listen on their node alone and call one another without a proxy."""

from __future__ import annotations

from typing import Any

_ANY_ADDRESS = "[::]:"
_NO_PROXY = ("grpc.enable_http_proxy", 0)


def patch_replica() -> None:
    """Have the replica in this process listen on its node's address, and ``patch_channels``.

    Ray Serve 2.60 opens a gRPC port in each replica on every address of the machine, whatever host is set.
    The port is opened after the deployment's object is made, so its constructor can call this.
    """
    import ray
    from ray.serve._private import replica

    patch_channels()
    add_port = replica.add_port_to_grpc_server
    if getattr(add_port, "patched", False):
        return
    address = ray.util.get_node_ip_address()
    host = f"[{address}]" if ":" in address else address

    def add_port_on_node(server: Any, requested: str) -> Any:
        if requested.startswith(_ANY_ADDRESS):
            requested = f"{host}:{requested.removeprefix(_ANY_ADDRESS)}"
        return add_port(server, requested)

    add_port_on_node.patched = True  # type: ignore[attr-defined]
    replica.add_port_to_grpc_server = add_port_on_node


def patch_channels() -> None:
    """Have this process call replicas past the proxy that its environment may name.

    Ray's other channels have the option; those of Serve 2.60 to replicas lack it.
    """
    from ray.serve._private.request_router import replica_wrapper

    init_channel = replica_wrapper.init_grpc_channel
    if getattr(init_channel, "patched", False):
        return

    def init_direct_channel(address: str, options: Any = (), **more: Any) -> Any:
        return init_channel(address, options=[*(options or ()), _NO_PROXY], **more)

    init_direct_channel.patched = True  # type: ignore[attr-defined]
    replica_wrapper.init_grpc_channel = init_direct_channel
