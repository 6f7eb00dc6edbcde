"""The attackers of a session on real packets: the same brain as on the virtual bench.

:class:`bench.benches.attacker.Attacker` decides; :mod:`instruments.attacks`, a process on the wire,
acts. Payloads are read and made here (:mod:`bench.devices.wire`). A packet is held only while the
brain decides on it, and only when an attack is due.
"""

from __future__ import annotations

import os
import select
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from heapq import heappop, heappush
from itertools import count
from typing import Any

import numpy as np

from bench.benches.attacker import Attacker
from bench.benches.local.carriage.credentials import identities
from bench.benches.local.channel import Sender
from bench.benches.local.intercepting import Interceptor
from bench.benches.local.kernel import Timer
from bench.benches.local.layout import SIDES, address, other, peer_address, peer_of
from bench.benches.local.listening import heard
from bench.benches.local.payloads import overheard, payload_of
from bench.devices.carriages import CARRIAGES, TCP
from bench.devices.ports import Message
from bench.devices.profile import DeviceProfile, Stream
from bench.devices.security import CONTROL
from bench.network.attacks import Attack
from bench.network.impairment import DIRECTIONS
from bench.network.scenario import Side
from bench.sessions.packets import ROW, TAPS
from bench.units import NS_PER_S
from instruments.attacks.messages import LARGEST, channel, packed, unpacked

_READY_S = 15.0
_END_S = 2.0
_REPORT_NS = 100_000_000
_ANSWER_NS = 8_000_000
"""A packet of the device's is not held longer than this for a decision."""
_MOST_MESSAGES = 64
_HEADERS = 42
_FOLLOWING = ("inject", "rogue")
"""What needs to know the last packet of its flow."""
_LISTENED_PER_S = 100
"""Packets of a flow per s that a listener reads: a flow is in clear, or it is not."""


class Hands:
    """The attack process, started in this process's network namespace; it ends with this process.

    Args:
        first: where it stands (:mod:`instruments.attacks.messages`).

    Raises:
        OSError: it did not get ready.
    """

    def __init__(self, first: Mapping[str, Any]) -> None:
        self.socket, theirs = channel()
        with theirs:
            command = [sys.executable, "-m", "instruments.attacks"]
            self._process = subprocess.Popen(
                [*command, str(theirs.fileno()), str(os.getpid())],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
            )
        self.pid = self._process.pid
        self.tell(first)
        self.socket.settimeout(_READY_S)
        if not self.socket.recv(LARGEST):
            raise OSError("the attack process ended before it was ready")
        self.socket.setblocking(False)

    def tell(self, data: Mapping[str, Any], payload: bytes = b"") -> None:
        """One message to it."""
        self.socket.send(packed(data, payload))


class Attacking:
    """Runs the attackers of a session; an :class:`bench.benches.attacker.AttackPort`.

    Args:
        profile: the device.
        links: names of the links, by index.
        attacks: what the scenario asks for, with its time in ns of the session.
        hands: the attack process.
        out: where notes and rows go.
        t0_ns: the session's start, CLOCK_MONOTONIC.
        seed: of all draws.
    """

    def __init__(
        self,
        profile: DeviceProfile,
        links: tuple[str, ...],
        attacks: tuple[tuple[int, Attack], ...],
        hands: socket.socket,
        out: Sender,
        t0_ns: int,
        seed: int,
    ) -> None:
        self._hands, self._out, self._t0_ns = hands, out, t0_ns
        self._links = links
        self._streams = {stream.code: stream for stream in profile.streams}
        self._by_port = {stream.port: stream for stream in profile.streams}
        self._queue: list[tuple[int, int, Callable[[int], None]]] = []
        self._number = count().__next__
        self._events: list[tuple[int, str, str, Any]] = []
        self._rows: list[tuple[int, int, int, int, int, int, int]] = []
        self._armed: dict[tuple[int, int, int], int] = {}
        self._unreadable = self._lost = 0
        self._listens = False
        self._device, self._control = profile.name, profile.stream(CONTROL).code
        self._interceptors: dict[int, Interceptor] = {}
        self._done: dict[str, int] = {}
        self._attacker = Attacker(profile, links, self, seed)
        self._watch(profile, [attack for _, attack in attacks])
        for t_ns, attack in attacks:
            self.at(t_ns, lambda now, attack=attack: self._begin(now, attack))  # type: ignore[misc]

    def _watch(self, profile: DeviceProfile, attacks: list[Attack]) -> None:
        """Ask for what the brain wants to know of what passes."""
        wanted = {(way, profile.stream(CONTROL).port): 0 for way in (0, 1)}
        for attack in attacks:
            if attack.kind == "listen":
                self._listens = True
                for stream in profile.active_streams:
                    both = CARRIAGES[stream.carriage].enciphered  # the server's hello comes back
                    for way in (0, 1) if both else (DIRECTIONS.index(stream.direction),):
                        wanted.setdefault((way, stream.port), _LISTENED_PER_S)
            elif attack.kind in _FOLLOWING:
                stream = profile.stream(attack.stream or profile.watched)
                wanted[DIRECTIONS.index(attack.way), stream.port] = 0
        for (way, port), most_per_s in wanted.items():
            said = {"do": "watch", "way": way, "port": port, "most_per_s": most_per_s}
            tcp = CARRIAGES[self._by_port[port].carriage].protocol == TCP
            self._tell({**said, "protocol": "tcp" if tcp else "udp"})

    # ---- the way out of the brain ---------------------------------------------------------------

    def at(self, t_ns: int, call: Callable[[int], None]) -> None:
        """Call ``call(now_ns)`` once at ``t_ns``."""
        heappush(self._queue, (t_ns, self._number(), call))

    def inject(self, now_ns: int, link: int, way: int, message: Message) -> None:
        """Put a packet on a link: in the other side's name, or as a further client."""
        source = address(link, SIDES[1 - way])
        if message.peer:
            source = peer_address(link, message.peer)
        said = {"do": "send", "link": link, "way": way, "source": source}
        stream = self._streams[message.stream]
        self._tell({**said, "port": stream.port}, payload_of(message, stream))

    def note(self, now_ns: int, name: str, value: Any) -> None:
        """Tell the recording."""
        self._events.append((now_ns, "bench", name, value))

    def _tell(self, data: dict[str, Any], payload: bytes = b"") -> None:
        try:
            self._hands.send(packed(data, payload))
        except BlockingIOError:
            self._lost += 1

    # ---- the loop -------------------------------------------------------------------------------

    def run(self, end_ns: int) -> None:
        """Attack until the session's end, then report.

        Raises:
            OSError: the attack process ended.
        """
        timer, poll = Timer(), select.epoll()
        poll.register(timer.fileno(), select.EPOLLIN)
        poll.register(self._hands.fileno(), select.EPOLLIN)
        self._out.send({"ready": time.monotonic_ns()})
        self.at(0, self._report)
        now, queue = time.monotonic_ns() - self._t0_ns, self._queue
        while now < end_ns:
            timer.arm(min(queue[0][0], end_ns) + self._t0_ns)
            if any(fd == self._hands.fileno() for fd, _ in poll.poll()):
                self._hear()
            now = time.monotonic_ns() - self._t0_ns
            while queue[0][0] <= min(now, end_ns):
                heappop(queue)[2](now)
                self._arm()
        self._finish()

    def _begin(self, now_ns: int, attack: Attack) -> None:
        if attack.kind == "rogue":  # at this layer a gateway also claims both sides' addresses
            link = self._links.index(attack.link)
            for way in (0, 1):
                self._tell({"do": "announce", "link": link, "way": way})
            self._intercept(now_ns, link, attack)
        self._attacker.begin(now_ns, attack)

    def _intercept(self, now_ns: int, link: int, attack: Attack) -> None:
        """As often as the attack asks, open sessions of DTLS in either side's name."""
        control = self._streams[self._control]
        if control.carriage != "dtls":
            return
        if link not in self._interceptors:
            self._interceptors[link] = Interceptor(
                identities(self._device), other(control.source),
                lambda side, datagram: self._in_other_name(link, side, datagram),
                lambda side: self._intercepted(link, side),
            )  # fmt: skip
        step_ns = round(NS_PER_S / attack.rate_per_s)
        for number in range(attack.count):
            self.at(now_ns + number * step_ns, lambda _: self._interceptors[link].begin())

    def _intercepted(self, link: int, side: Side) -> None:
        now_ns = time.monotonic_ns() - self._t0_ns
        self.note(now_ns, "intercepted", {"link": link, "towards": side})

    def _in_other_name(self, link: int, side: Side, datagram: bytes) -> None:
        flow = {"link": link, "way": SIDES.index(side), "port": self._streams[self._control].port}
        self._tell({"do": "send", **flow, "source": address(link, other(side))}, datagram)

    def _hear(self) -> None:
        for _ in range(_MOST_MESSAGES):
            try:
                data = self._hands.recv(LARGEST)
            except BlockingIOError:
                return
            if not data:
                raise OSError("the attack process ended in the middle of the session")
            said, payload = unpacked(data)
            if said["is"] == "done":
                self._done = {key: value for key, value in said.items() if key != "is"}
                return
            self._heard(said, payload)

    def _heard(self, said: dict[str, Any], payload: bytes) -> None:
        now_ns, link, way = said["t_ns"] - self._t0_ns, said["link"], said["way"]
        stream = self._by_port.get(said["port"])
        if stream is not None and said["is"] != "arrived":  # between the device's own sides
            if self._listens and CARRIAGES[stream.carriage].enciphered:
                self._listen(stream, way, payload)
            if stream.code == self._control and link in self._interceptors:
                self._interceptors[link].hear(SIDES[1 - way], payload)
        if said["is"] == "segment":
            return
        try:
            message = overheard(payload, self._by_port[said["port"]])
        except (KeyError, ValueError):
            self._unreadable += 1
            message = None
        if said["is"] == "asked":
            self._decide(said["id"], now_ns, link, way, message, said["port"])
        elif message is None:
            return
        elif said["is"] == "passed":
            self._attacker.overhear(now_ns, link, way, message)
        else:
            size = len(payload) + _HEADERS
            tap = TAPS.index("third-party")
            self._rows.append((now_ns, tap, way, link, message.stream, message.seq, size))
            client = message._replace(peer=peer_of(said["target"]))
            self._attacker.receive(time.monotonic_ns() - self._t0_ns, link, client)

    def _listen(self, stream: Stream, way: int, payload: bytes) -> None:
        """What a listener makes of bytes that ought to be enciphered."""
        found, listener = heard(payload, stream.code), self._attacker.eavesdropper
        if found.suite:
            listener.suite(found.suite)
        if found.enciphered or found.readable:
            listener.seen(way, stream.code, 1, marked=True, readable=found.readable)

    def _decide(
        self, number: int, now_ns: int, link: int, way: int, message: Message | None, port: int
    ) -> None:
        """What becomes of a packet that is held; one that cannot be read passes."""
        stream = self._by_port[port]
        self._armed.pop((link, way, stream.code), None)
        acted = None if message is None else self._attacker.passing(now_ns, link, way, message)
        answer: dict[str, Any] = {"do": "answer", "id": number, "held_ns": 0, "altered": False}
        if acted is None:
            self._tell(answer)
        else:
            changed, held_ns = acted
            payload = b"" if changed == message else payload_of(changed, stream)
            self._tell({**answer, "held_ns": held_ns, "altered": True}, payload)
        self._arm()

    def _arm(self) -> None:
        """Have the next packet of every flow held on which something is due."""
        for (link, way, code), from_ns in self._attacker.awaited().items():
            if self._armed.get((link, way, code)) != from_ns:
                self._armed[link, way, code] = from_ns
                flow = {"link": link, "way": way, "port": self._streams[code].port}
                when = {"from_ns": from_ns + self._t0_ns, "within_ns": _ANSWER_NS}
                self._tell({"do": "ask", **flow, **when})

    # ---- reports --------------------------------------------------------------------------------

    def _report(self, now_ns: int) -> None:
        if self._events:
            self._out.send({"events": self._events})
            self._events = []
        if self._rows:
            rows = np.array(self._rows, dtype=ROW)
            self._out.send({"rows": len(rows)}, rows.tobytes())
            self._rows = []
        self.at(now_ns + _REPORT_NS, self._report)

    def _finish(self) -> None:
        self._report(0)
        self._tell({"do": "end"})
        deadline = time.monotonic_ns() + int(_END_S * NS_PER_S)
        while not self._done and time.monotonic_ns() < deadline:
            select.select([self._hands], [], [], 0.1)
            self._hear()
        if not self._done:
            raise OSError("the attack process does not say how it went")
        refused = sum(len(each.refused) for each in self._interceptors.values())
        more = {"unreadable": self._unreadable, "lost": self._lost, "intercepts_refused": refused}
        self._out.send({"done": {**self._done, **more, "cpu_ns": time.process_time_ns()}})
