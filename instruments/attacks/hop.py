"""The hop: stands between the emulator and the doctor's side of every link, at layer 2.

Frames pass as raw bytes, in order. What a flow is watched for is told; a packet that is asked for
waits, and those of its flow behind it, until the answer comes or its time is over: then it passes
as it is.
"""

from __future__ import annotations

import socket
import time
from collections import deque
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from instruments.attacks.frames import (
    Maker,
    Place,
    ipv4,
    mac,
    payload_of,
    place_of,
    port_of,
    segment_of,
)
from instruments.attacks.messages import Station
from instruments.attacks.process import AttackProcess
from instruments.emulators.ring import ReceiveRing
from instruments.emulators.sending import Sender

_BATCH = 32
_FRAMES = 2048
_MOST_HELD = 256
_TO_PATIENT = 0


class _Ways:
    """What is done to the flow of one port in one direction of one link."""

    __slots__ = ("ask_ns", "asked", "behind", "least_ns", "told_ns", "watched", "within_ns")

    def __init__(self) -> None:
        self.watched = False
        self.least_ns = self.told_ns = 0
        self.ask_ns, self.within_ns = -1, 0
        self.asked = -1
        self.behind: deque[bytes] = deque()


class _Lane:
    """One direction of one link: where frames come from and go to, and its flows by port."""

    def __init__(self, link: int, way: int, station: Station) -> None:
        arrivals, departures = station.side, station.path
        if way != _TO_PATIENT:
            arrivals, departures = departures, arrivals
        self.link, self.way = link, way
        self.ring = ReceiveRing(arrivals, _FRAMES)
        self.out = Sender(departures)
        self.flows: dict[int, _Ways] = {}
        self.heard: dict[int, _Ways] = {}
        self.own, self.altered = mac(station.own), mac(station.altered)
        near, far = station.doctor, station.patient
        self.ends = (near, far) if way == _TO_PATIENT else (far, near)

    def flow(self, port: int) -> _Ways:
        """What is done to a flow, made where it is new."""
        return self.flows.setdefault(port, _Ways())


class Hop(AttackProcess):
    """Everything the attack process does once it knows where it stands.

    Args:
        stations: by link.
        lengths: of payloads that may be made up, laid out beforehand.
        bench: the other end of :mod:`instruments.attacks.messages`.
    """

    def __init__(
        self, stations: tuple[Station, ...], lengths: list[int], bench: socket.socket
    ) -> None:
        super().__init__(bench)
        self._maker = Maker()
        for length in lengths:
            self._maker.prepare(length)
        self._lanes = [
            [_Lane(link, way, station) for way in (0, 1)] for link, station in enumerate(stations)
        ]
        self._asked: dict[int, tuple[_Lane, int, bytes]] = {}
        self._passed = self._made = self._altered = self._unanswered = 0

    def sources(self) -> Mapping[int, Callable[[], object]]:
        """The rings of all lanes."""
        lanes = [lane for pair in self._lanes for lane in pair]
        return {lane.ring.fileno(): partial(self._take, lane) for lane in lanes}

    def counts(self) -> dict[str, int]:
        """What was done, and what the hop itself lost."""
        lanes = [lane for pair in self._lanes for lane in pair]
        return {
            "passed": self._passed, "made": self._made, "altered": self._altered,
            "unanswered": self._unanswered, "refused": self.refused, "untold": self.untold,
            "dropped": sum(lane.ring.statistics()[1] + lane.ring.oversize for lane in lanes),
            "failed": sum(lane.out.failed + lane.out.unsaid() for lane in lanes),
        }  # fmt: skip

    # ---- what passes ----------------------------------------------------------------------------

    def _take(self, lane: _Lane) -> None:
        frames = lane.ring.take(_BATCH)
        self._passed += len(frames)
        send, flows, own = lane.out.one, lane.flows, lane.own
        for _, frame in frames:
            if frame[:6] == own:
                self._arrived(lane, frame)
                continue
            flow = flows.get(port_of(frame)) if flows else None
            if flow is not None:
                self._of_flow(lane, flow, frame)
                continue
            send(frame)
            if lane.heard:
                self._listen(lane, frame)

    def _listen(self, lane: _Lane, frame: bytes) -> None:
        """Tell of a segment of TCP that has passed, if it is of a port that is listened to."""
        segment = segment_of(frame)
        if segment is None:
            return
        source, target, payload = segment
        port = target if target in lane.heard else source
        flow, now = lane.heard.get(port), time.monotonic_ns()
        if flow is not None and now >= flow.told_ns + flow.least_ns:
            flow.told_ns = now
            said = {"is": "segment", "t_ns": now, "link": lane.link, "way": lane.way, "port": port}
            self._tell(said, payload)

    def _of_flow(self, lane: _Lane, flow: _Ways, frame: bytes) -> None:
        if flow.asked >= 0:
            flow.behind.append(frame)
            if len(flow.behind) > _MOST_HELD:
                self._unanswer(flow.asked)
            return
        now = time.monotonic_ns()
        if 0 <= flow.ask_ns <= now:
            self._ask(lane, flow, frame, now)
            return
        lane.out.one(frame)
        if flow.watched and now >= flow.told_ns + flow.least_ns:
            flow.told_ns = now
            self._tell_packet("passed", lane, frame, now)

    def _ask(self, lane: _Lane, flow: _Ways, frame: bytes, now: int) -> None:
        number, port = self._number(), port_of(frame)
        flow.ask_ns, flow.asked = -1, number
        self._asked[number] = lane, port, frame
        self._later(now + flow.within_ns, lambda: self._unanswer(number))
        self._tell_packet("asked", lane, frame, now, id=number)

    def _unanswer(self, number: int) -> None:
        """Nobody answers: the packet passes as it is."""
        if number in self._asked:
            self._unanswered += 1
            lane, port, frame = self._asked.pop(number)
            lane.out.one(frame)
            self._follow(lane, lane.flow(port))

    def _answer(self, said: dict[str, Any], payload: bytes) -> None:
        asked = self._asked.pop(said["id"], None)
        if asked is None:
            return  # too late: it has passed
        lane, port, frame = asked
        if said["altered"]:
            self._altered += 1
            frame = self._maker.changed(frame, lane.altered, payload or None)
        if said["held_ns"]:
            due = time.monotonic_ns() + said["held_ns"]
            self._later(due, lambda: lane.out.one(frame))
        else:
            lane.out.one(frame)
        self._follow(lane, lane.flow(port))

    def _follow(self, lane: _Lane, flow: _Ways) -> None:
        """What waited behind a packet goes on, until one of it is asked for."""
        flow.asked = -1
        waiting, flow.behind = flow.behind, deque()
        for frame in waiting:
            self._of_flow(lane, flow, frame)

    def _arrived(self, lane: _Lane, frame: bytes) -> None:
        if port_of(frame) >= 0:
            self._tell_packet("arrived", lane, frame, time.monotonic_ns())

    # ---- what the bench says --------------------------------------------------------------------

    def _do_watch(self, said: dict[str, Any], payload: bytes) -> None:
        least_ns = int(1e9 / said["most_per_s"]) if said["most_per_s"] else 0
        for lanes in self._lanes:
            lane = lanes[said["way"]]
            if said.get("protocol") == "tcp":
                flow = lane.heard.setdefault(said["port"], _Ways())
            else:
                flow = lane.flow(said["port"])
            flow.watched, flow.least_ns = True, least_ns

    def _do_ask(self, said: dict[str, Any], payload: bytes) -> None:
        flow = self._lanes[said["link"]][said["way"]].flow(said["port"])
        flow.ask_ns, flow.within_ns = said["from_ns"], said["within_ns"]

    def _do_answer(self, said: dict[str, Any], payload: bytes) -> None:
        self._answer(said, payload)

    def _do_send(self, said: dict[str, Any], payload: bytes) -> None:
        if not self._affordable():
            return
        lane = self._lanes[said["link"]][said["way"]]
        (_, _), (target_mac, target) = lane.ends
        place = Place(
            lane.own, mac(target_mac), ipv4(said["source"]), ipv4(target),
            said["port"], said["port"],
        )  # fmt: skip
        self._made += lane.out.one(self._maker.packet(place, payload))

    def _do_announce(self, said: dict[str, Any], payload: bytes) -> None:
        """In the name of the far end of a lane: its address is here now."""
        if not self._affordable():
            return
        lane = self._lanes[said["link"]][said["way"]]
        (_, address), (target_mac, target) = lane.ends
        frame = self._maker.announcement(lane.own, address, mac(target_mac), target)
        self._made += lane.out.one(frame)

    def _do_end(self, said: dict[str, Any], payload: bytes) -> None:
        for number in tuple(self._asked):
            self._unanswer(number)
        super()._do_end(said, payload)

    # ---- telling --------------------------------------------------------------------------------

    def _tell_packet(self, what: str, lane: _Lane, frame: bytes, t_ns: int, **more: int) -> None:
        place = place_of(frame)
        data = {
            "is": what, "t_ns": t_ns, "link": lane.link, "way": lane.way,
            "source": socket.inet_ntoa(place.source), "target": socket.inet_ntoa(place.target),
            "port": place.target_port, **more,
        }  # fmt: skip
        self._tell(data, payload_of(frame))
