"""The port that Ray Serve opens in each replica; on a real Ray it is looked at in test_serve_faults."""

from __future__ import annotations

import inspect

import pytest
from ray.serve._private import replica
from ray.serve._private.request_router import replica_wrapper

from serve import ray_patches


def test_what_ray_opens_for_everybody_is_opened_on_the_node_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str] = []
    monkeypatch.setattr(replica, "add_port_to_grpc_server", lambda server, address: opened.append(address))
    monkeypatch.setattr("ray.util.get_node_ip_address", lambda: "127.0.0.1")
    ray_patches.patch_replica()
    ray_patches.patch_replica()  # more than one deployment's object in a process
    replica.add_port_to_grpc_server(None, "[::]:0")
    replica.add_port_to_grpc_server(None, "10.0.0.1:7")
    assert opened == ["127.0.0.1:0", "10.0.0.1:7"]


def test_ray_still_opens_it_this_way() -> None:
    assert 'add_port_to_grpc_server(self._server, "[::]:0")' in inspect.getsource(replica)


def test_replicas_are_called_past_the_environment_s_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[tuple[str, list[tuple[str, int]]]] = []
    monkeypatch.setattr(
        replica_wrapper, "init_grpc_channel", lambda address, options, **_: made.append((address, options))
    )
    ray_patches.patch_channels()
    ray_patches.patch_channels()
    replica_wrapper.init_grpc_channel("10.0.0.1:7", options=[("grpc.a", 1)], asynchronous=True)
    assert made == [("10.0.0.1:7", [("grpc.a", 1), ("grpc.enable_http_proxy", 0)])]


def test_ray_still_makes_channels_this_way() -> None:
    assert "init_grpc_channel(" in inspect.getsource(replica_wrapper.RunningReplica.stub.fget)
