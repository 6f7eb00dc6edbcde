"""The attackers of a session between physical interfaces: beside the path of a real device.

What needs keys of the device, an address in its network or a place on its path is not done here.
:mod:`instruments.attacks.beside`, a process on the same interfaces, acts; when is told to it from
here, and what it did goes into the recording.
"""

from __future__ import annotations

import select
import socket
import time
from collections.abc import Iterable, Mapping
from typing import Any

from bench.benches.local.channel import Sender
from bench.devices.profile import DeviceProfile, Stream
from bench.devices.rules import rules_of
from bench.network.attacks import Attack
from bench.network.impairment import DIRECTIONS
from bench.units import NS_PER_S
from instruments.attacks.messages import LARGEST, packed, unpacked

BESIDE = ("replay", "inject", "flood")
"""The kinds of attack that need nothing but the network."""

WHY_NOT: Mapping[str, str] = {
    "flip": "the bench alters no packet of a real device",
    "reorder": "the bench holds no packet of a real device back",
    "rogue": "it takes the protocol of the device, and a place on its path",
    "connect": "it takes an address in the device's network, and certificates of its maker",
    "update": "it takes an address in the device's network, and software of its maker",
    "listen": "what is in clear is not known of a real device",
}
"""Why there are no others of a device at the far ends of physical interfaces."""

_UDP = 17
_END_S = 2.0
_LOOK_S = 0.05
_REPORT_S = 0.1


def beside_problem(device: DeviceProfile, attacks: Iterable[Attack]) -> str:
    """Why attacks cannot be carried out beside the path of a real device; empty where they can."""
    protocols = {rule.name: rule.protocol for rule in rules_of(device)}
    for attack in attacks:
        if attack.kind not in BESIDE:
            return f"no attack {attack.kind} on a real device: {WHY_NOT[attack.kind]}"
        stream = _target(device, attack)
        if protocols[stream.name] != _UDP:
            return (
                f"no attack {attack.kind} on the stream {stream.name} of a real device: "
                "its packets are not UDP, and others need the state of their connection"
            )
    return ""


def _target(device: DeviceProfile, attack: Attack) -> Stream:
    return device.stream(attack.stream or device.watched)


class AttackingBeside:
    """Has the attacks of a session carried out when they are due, and tells what was done.

    Args:
        profile: the device.
        links: names of the links, by index.
        attacks: what the scenario asks for, with its time in ns of the session.
        hands: the attack process.
        out: where events go.
        t0_ns: the session's start, CLOCK_MONOTONIC.
    """

    def __init__(
        self,
        profile: DeviceProfile,
        links: tuple[str, ...],
        attacks: tuple[tuple[int, Attack], ...],
        hands: socket.socket,
        out: Sender,
        t0_ns: int,
    ) -> None:
        self._profile, self._links = profile, links
        self._attacks = sorted(attacks, key=lambda each: each[0])
        self._hands, self._out, self._t0_ns = hands, out, t0_ns
        self._rules = {rule.port: rule for rule in rules_of(profile)}
        self._codes = {stream.port: stream.code for stream in profile.streams}
        self._events: list[tuple[int, str, str, Any]] = []
        self._done: dict[str, int] = {}

    def run(self, end_ns: int) -> None:
        """Attack until the session's end, then report.

        Raises:
            OSError: the attack process ended, or does not say how it went.
        """
        self._out.send({"ready": time.monotonic_ns()})
        report_ns = now = time.monotonic_ns() - self._t0_ns
        while now < end_ns:
            if self._attacks and self._attacks[0][0] <= now:
                self._begin(now, self._attacks.pop(0)[1])
            due_ns = min(end_ns, self._attacks[0][0] if self._attacks else end_ns)
            self._listen(min(_LOOK_S, max(0.0, (due_ns - now) / NS_PER_S)))
            now = time.monotonic_ns() - self._t0_ns
            if now >= report_ns:
                self._report()
                report_ns = now + round(_REPORT_S * NS_PER_S)
        self._finish()

    def _begin(self, now_ns: int, attack: Attack) -> None:
        value = {"kind": attack.kind, "as": attack.detail, "link": attack.link, "way": attack.way,
                 "count": attack.count, "rate_per_s": attack.rate_per_s}  # fmt: skip
        self._events.append((now_ns, "bench", "attack-begins", value))
        flow = {"link": self._links.index(attack.link), "way": DIRECTIONS.index(attack.way)}
        told = {"kind": attack.kind, "count": attack.count, "rate_per_s": attack.rate_per_s}
        port = _target(self._profile, attack).port
        self._hands.send(packed({"do": "attack", **told, **flow, "port": port}))

    def _listen(self, within_s: float) -> None:
        """Hear what the attack process did, waiting at most so long for the first word.

        Raises:
            OSError: it ended.
        """
        select.select([self._hands], [], [], within_s)
        while True:
            try:
                data = self._hands.recv(LARGEST)
            except BlockingIOError:
                return
            if not data:
                raise OSError("the attack process ended in the middle of the session")
            self._heard(*unpacked(data))
            if self._done:
                return

    def _heard(self, said: dict[str, Any], payload: bytes) -> None:
        if said["is"] == "done":
            self._done = {key: value for key, value in said.items() if key != "is"}
            return
        now_ns = said["t_ns"] - self._t0_ns
        if said["is"] == "ended":
            self._events.append((now_ns, "bench", "flood-ends", {"sent": said.get("sent", 0)}))
            return
        port = said["port"]
        value = {"kind": said["kind"], "stream": self._codes[port],
                 "seq": self._number(port, payload), "link": said["link"],
                 "way": DIRECTIONS[said["way"]]}  # fmt: skip
        self._events.append((now_ns, "bench", "attack", value))

    def _number(self, port: int, payload: bytes) -> int | None:
        """What the device numbered the packet with; None where it does not."""
        field = self._rules[port].sequence
        if field is None or len(payload) < field.offset + field.bytes:
            return None
        number = payload[field.offset : field.offset + field.bytes]
        return int.from_bytes(number, "big" if field.order == ">" else "little")

    def _report(self) -> None:
        if self._events:
            self._out.send({"events": self._events})
            self._events = []

    def _finish(self) -> None:
        self._hands.send(packed({"do": "end"}))
        deadline = time.monotonic() + _END_S
        while not self._done and time.monotonic() < deadline:
            self._listen(_LOOK_S)
        if not self._done:
            raise OSError("the attack process does not say how it went")
        self._report()
        self._out.send({"done": {**self._done, "cpu_ns": time.process_time_ns()}})
