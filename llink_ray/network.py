"""Addresses that a program listens on."""

from __future__ import annotations

import os
from collections.abc import Mapping
from ipaddress import ip_address

_THIS_MACHINE = ("127.0.0.1", "localhost", "::1")


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches it."""
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def past_proxies(environment: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Variables with which nothing that is asked of this machine goes through a proxy.

    A proxy is named in many spellings, and what it is not for in these: nearly all programs read the first
    two, and gRPC the third, where it is set, in their place.
    """
    given = environment.get("no_proxy") or environment.get("NO_PROXY") or ""
    names = ["no_proxy", "NO_PROXY", *(["no_grpc_proxy"] if "no_grpc_proxy" in environment else [])]
    found: dict[str, str] = {}
    for name in names:
        spared = [one.strip() for one in (environment.get(name) or given).split(",") if one.strip()]
        if "*" not in spared:
            spared += [one for one in _THIS_MACHINE if one not in spared]
        found[name] = ",".join(spared)
    return found
