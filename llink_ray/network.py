"""Loopback addresses, and proxies that must not stand before them."""

from __future__ import annotations

import os
from collections.abc import Mapping
from ipaddress import ip_address

_LOOPBACK = ("127.0.0.1", "localhost", "::1")


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches ``host``."""
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def no_proxy_variables(environment: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Environment variables that keep requests to this machine off any proxy.

    Most programs read ``no_proxy`` or ``NO_PROXY``; gRPC prefers ``no_grpc_proxy`` where it is set.
    """
    default = environment.get("no_proxy") or environment.get("NO_PROXY") or ""
    names = ["no_proxy", "NO_PROXY", *(["no_grpc_proxy"] if "no_grpc_proxy" in environment else [])]
    variables: dict[str, str] = {}
    for name in names:
        hosts = list(filter(None, map(str.strip, (environment.get(name) or default).split(","))))
        if "*" not in hosts:
            hosts += [host for host in _LOOPBACK if host not in hosts]
        variables[name] = ",".join(hosts)
    return variables
