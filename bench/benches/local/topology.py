"""Namespaces and interfaces of one session, all anonymous: they end with their last process.

Per link: patient side ``p<link>`` and doctor side ``d<link>``, each in that side's namespace,
each the end of a veth pair whose other end is in the wire namespace of the host process. What
lies between the two ends in the wire namespace is the emulator's business. Where there are
attacks, the attack process stands between the doctor side's end and the emulator: the emulator then
gets an end of one more veth pair, whose other end is that process's.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from pyroute2 import IPRoute

from bench.benches.local import kernel
from bench.benches.local.layout import (
    SIDES,
    Wire,
    address,
    attacker_hardware_address,
    hardware_address,
    interface,
    other,
    peer_network,
    router_address,
)
from bench.benches.local.ring import PacketRing
from bench.network.scenario import Side
from instruments.attacks.messages import Station
from instruments.emulators.interfaces import offloads_off


class Topology:
    """Namespaces and interfaces of one session. To be made inside the wire namespace.

    Args:
        ipr: netlink socket of the wire namespace.
        links: number of links.
        serial: a number that no earlier session of this process has used.
        attacked: make room for the attack process, and a way back to further clients.

    Attributes:
        wires: what the emulator joins, by link.
        stations: where the attack process stands, by link; empty where there are no attacks.

    Raises:
        OSError: the host does not allow it.
    """

    def __init__(self, ipr: IPRoute, links: int, serial: int, attacked: bool = False) -> None:
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
        self.stations: tuple[Station, ...] = ()
        if attacked:
            self.stations = tuple(self._station(ipr, wire, serial) for wire in self.wires)
            self.wires = tuple(
                replace(wire, doctor_end=f"w{serial}e{wire.link}") for wire in self.wires
            )
            with self.inside("patient"):
                _way_to_clients(links)

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
        _bare(ipr, end)

    def _station(self, ipr: IPRoute, wire: Wire, serial: int) -> Station:
        """A further pair on the doctor's side of the emulator, and who is at the link's ends."""
        link, path, end = wire.link, f"w{serial}h{wire.link}", f"w{serial}e{wire.link}"
        ipr.link("add", ifname=path, kind="veth", peer={"ifname": end})
        for name in (path, end):
            _bare(ipr, name)
        return Station(
            side=wire.doctor_end,
            path=path,
            patient=(hardware_address("patient", link), address(link, "patient")),
            doctor=(hardware_address("doctor", link), address(link, "doctor")),
            own=attacker_hardware_address(link),
            altered=attacker_hardware_address(link, altered=True),
        )

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


def _bare(ipr: IPRoute, name: str) -> None:
    """Bring up an end in the wire namespace: it neither speaks ARP nor leaves work to hardware."""
    offloads_off(name)
    ipr.link("set", index=socket.if_nametoindex(name), state="up", arp=False)


def _way_to_clients(links: int) -> None:
    """Inside the patient side's namespace: how answers reach further clients."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        for link in range(links):
            name, router = interface("patient", link), router_address(link)
            kernel.route(control, name, peer_network(link), "255.255.0.0", router)
            there = bytes.fromhex(attacker_hardware_address(link).replace(":", ""))
            kernel.static_neighbour(control, name, router, there)


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
