"""Netem qdiscs and redirections between interfaces: put up, and taken away again.

Everything here acts on the current network namespace. Interfaces are named by index.
"""

from __future__ import annotations

import contextlib
import errno
from collections.abc import Iterable, Sequence
from typing import Any

from pyroute2 import IPRoute
from pyroute2.netlink.exceptions import NetlinkError

from instruments.emulators.base import EmulatorError
from instruments.emulators.netem_messages import HANDLE_INGRESS, PARENT_INGRESS, QdiscSocket
from instruments.emulators.netem_state import NetemState

_ETH_P_ALL = 0x0003
_BRIDGE = "tmb-wire"

MEANS = ("matchall", "u32", "bridge")
"""Ways to join two interfaces, best first: redirection by one of two classifiers, or a bridge."""


class TrafficControl:
    """Netem qdiscs and redirections, added and taken away through sockets that stay open.

    Attributes:
        qdiscs: changes and reads the netem qdiscs.
    """

    def __init__(self) -> None:
        self._route = IPRoute()
        self.qdiscs = QdiscSocket()
        self._ingress: set[int] = set()
        self._roots: set[int] = set()
        self._bridges: list[int] = []

    def close(self) -> None:
        """Close the sockets; what was set up stays (see :meth:`restore`)."""
        self.qdiscs.close()
        self._route.close()

    def index(self, ifname: str) -> int:
        """The index of an interface.

        Raises:
            EmulatorError: no such interface in this network namespace.
        """
        found = self._route.link_lookup(ifname=ifname)
        if not found:
            raise EmulatorError(f"no interface {ifname} in this network namespace")
        return int(found[0])

    def add_netem(self, index: int, state: NetemState) -> None:
        """Make netem the interface's root qdisc.

        Raises:
            EmulatorError: no right to, or the kernel has no netem.
        """
        self.qdiscs.add_netem(index, state)
        self._roots.add(index)

    def join(self, one: int, other: int, means: Sequence[str] = MEANS) -> str:
        """Send what arrives at either interface out of the other; says by which of ``means``.

        Raises:
            EmulatorError: the kernel has none of them, or no right to.
        """
        said = ""
        for each in means:
            try:
                if each == "bridge":
                    self._bridge(one, other)
                else:
                    for arrive, leave in {(one, other), (other, one)}:
                        self._redirect(arrive, leave, each)
                return each
            except NetlinkError as error:
                said = _said(error)
                self._remove_ingress((one, other))
        raise EmulatorError(f"cannot join two interfaces by {', '.join(means)}: {said}")

    def counts_arrivals(self, index: int) -> bool:
        """Whether the kernel counts what arrives there to be passed on (not with a bridge)."""
        return index in self._ingress

    def _redirect(self, arrive: int, leave: int, means: str) -> None:
        if arrive not in self._ingress:
            self._route.tc("add", "ingress", arrive)
            self._ingress.add(arrive)
        action = {"kind": "mirred", "direction": "egress", "action": "redirect", "ifindex": leave}
        everything = {"keys": ["0x0/0x0+0"], "target": 0x10001}
        match: dict[str, Any] = everything if means == "u32" else {}
        self._route.tc(
            "add-filter",
            means,
            arrive,
            parent=HANDLE_INGRESS,
            prio=1,
            protocol=_ETH_P_ALL,
            action=action,
            **match,
        )

    def _bridge(self, one: int, other: int) -> None:
        name = f"{_BRIDGE}{one}"
        self._route.link("add", ifname=name, kind="bridge", br_stp_state=0, br_mcast_snooping=0)
        bridge = self.index(name)
        self._bridges.append(bridge)
        for index in (one, other):
            self._route.link("set", index=index, master=bridge)
        self._route.link("set", index=bridge, state="up")

    def _remove_ingress(self, indexes: Iterable[int]) -> None:
        for index in self._ingress.intersection(indexes):
            with contextlib.suppress(NetlinkError):
                self._route.tc("del", index=index, parent=PARENT_INGRESS, handle=HANDLE_INGRESS)
            self._ingress.discard(index)

    def part(self) -> None:
        """Undo every :meth:`join`; harmless when repeated."""
        self._remove_ingress(tuple(self._ingress))
        for bridge in self._bridges:
            with contextlib.suppress(NetlinkError):
                self._route.link("del", index=bridge)
        self._bridges.clear()

    def restore(self) -> None:
        """Take away everything this object has added; harmless when repeated."""
        self.part()
        for index in self._roots:
            with contextlib.suppress(NetlinkError):
                self._route.tc("del", index=index, root=True)
        self._roots.clear()


def _said(error: NetlinkError) -> str:
    """What the kernel answered, for people."""
    if error.code in (errno.ENOENT, errno.EOPNOTSUPP):
        return "this kernel does not have it"
    if error.code == errno.EPERM:
        return "not permitted (needs root or a user namespace)"
    return str(error)
