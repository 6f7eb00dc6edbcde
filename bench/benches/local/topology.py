"""Namespaces and interfaces of one session, all anonymous: they end with their last process.

Per link: patient side ``p<link>`` and doctor side ``d<link>``, each in that side's namespace,
each the end of a veth pair whose other end is in the wire namespace of the host process. What
lies between the two ends in the wire namespace is the emulator's business.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager

from pyroute2 import IPRoute

from bench.benches.local import kernel
from bench.benches.local.layout import SIDES, Wire, address, hardware_address, interface, other
from bench.benches.local.ring import PacketRing
from bench.network.scenario import Side
from instruments.emulators.interfaces import offloads_off


class Topology:
    """Namespaces and interfaces of one session. To be made inside the wire namespace.

    Args:
        ipr: netlink socket of the wire namespace.
        links: number of links.
        serial: a number that no earlier session of this process has used.

    Raises:
        OSError: the host does not allow it.
    """

    def __init__(self, ipr: IPRoute, links: int, serial: int) -> None:
        self._wire_fd = kernel.open_network_namespace()
        self.namespaces: dict[Side, int] = {}
        try:
            for side in SIDES:
                kernel.unshare(kernel.CLONE_NEWNET)
                self.namespaces[side] = kernel.open_network_namespace()
                kernel.no_ipv6()
        finally:
            kernel.set_network_namespace(self._wire_fd)
        kernel.no_ipv6()
        # An ended session's interfaces go with its namespaces, a little later: new names.
        self.wires = tuple(
            Wire(
                link,
                f"w{serial}{interface('patient', link)}",
                f"w{serial}{interface('doctor', link)}",
            )
            for link in range(links)
        )
        for wire in self.wires:
            self._join(ipr, "patient", wire.link, wire.patient_end)
            self._join(ipr, "doctor", wire.link, wire.doctor_end)
        for side in SIDES:
            with self.inside(side):
                _configure(side, links)

    def _join(self, ipr: IPRoute, side: Side, link: int, end: str) -> None:
        ipr.link(
            "add",
            ifname=end,
            kind="veth",
            peer={
                "ifname": interface(side, link),
                "address": hardware_address(side, link),
                "net_ns_fd": self.namespaces[side],
            },
        )
        offloads_off(end)
        ipr.link("set", index=socket.if_nametoindex(end), state="up", arp=False)

    @contextmanager
    def inside(self, side: Side) -> Iterator[None]:
        """Be in the namespace of ``side`` for a while."""
        kernel.set_network_namespace(self.namespaces[side])
        try:
            yield
        finally:
            kernel.set_network_namespace(self._wire_fd)

    def enter(self, side: Side) -> None:
        """Move this process into the namespace of ``side`` for good."""
        kernel.set_network_namespace(self.namespaces[side])

    def rings(self, side: Side) -> list[PacketRing]:
        """A packet ring on every interface of ``side``, in the order of the links."""
        with self.inside(side):
            return [PacketRing(interface(side, wire.link)) for wire in self.wires]

    def close(self) -> None:
        """Let go of the namespaces; they end with their processes."""
        for fd in (*self.namespaces.values(), self._wire_fd):
            os.close(fd)
        self.namespaces = {}


def _configure(side: Side, links: int) -> None:
    """Addresses, neighbours and offloads inside the namespace of ``side``."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        kernel.interface_up(control, "lo")
        for link in range(links):
            name = interface(side, link)
            offloads_off(name)
            kernel.interface_address(control, name, address(link, side), "255.255.255.252")
            kernel.interface_up(control, name)
            peer = bytes.fromhex(hardware_address(other(side), link).replace(":", ""))
            kernel.static_neighbour(control, name, address(link, other(side)), peer)
