"""The port that Ray Serve opens in each replica; on a real Ray it is looked at in test_serve_faults."""

from __future__ import annotations

import inspect

import pytest
from ray.serve._private import replica

from serve import ports


def test_what_ray_opens_for_everybody_is_opened_on_the_node_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str] = []
    monkeypatch.setattr(replica, "add_port_to_grpc_server", lambda server, address: opened.append(address))
    monkeypatch.setattr("ray.util.get_node_ip_address", lambda: "127.0.0.1")
    ports.close()
    ports.close()  # more than one deployment's object in a process
    replica.add_port_to_grpc_server(None, "[::]:0")
    replica.add_port_to_grpc_server(None, "10.0.0.1:7")
    assert opened == ["127.0.0.1:0", "10.0.0.1:7"]


def test_ray_still_opens_it_this_way() -> None:
    assert 'add_port_to_grpc_server(self._server, "[::]:0")' in inspect.getsource(replica)
