"""One side of a simulated device as a process: its state machine on real sockets and clocks."""

from __future__ import annotations

import select
import time
from array import array
from collections.abc import Callable, Sequence
from functools import partial
from heapq import heappop
from typing import Any

import numpy as np

from bench.benches.local.carriage import Carriage
from bench.benches.local.carriage.credentials import Identity
from bench.benches.local.channel import Sender
from bench.benches.local.kernel import Timer
from bench.benches.local.port import Bursts, LocalPort, burst_sizes
from bench.devices.ports import Endpoint, Message
from bench.devices.profile import DeviceProfile
from bench.network.scenario import ScheduledAction, Side

Build = Callable[[DeviceProfile, Side, LocalPort], Endpoint]

_REPORT_NS = 60_000_000
_MOST_PACKETS, _MOST_TIMERS = 64, 128
_MOST_SAMPLES = 4_000_000
_QUIT_WITHIN_S = 10.0
_LINGER_S = 0.06


class Agent:
    """Runs one endpoint from the session's start to its end.

    Arrived packets are handed over before timers that fell due meanwhile: after a pause of this
    process the device must not take its own bench's lateness for silence on the network.

    Args:
        profile: the device.
        side: which side this is.
        links: number of links.
        build: makes the endpoint.
        actions: the session's actions of this side.
        out: where reports go.
        t0_ns: the session's start, CLOCK_MONOTONIC.
        scheduling: what the scheduler granted this process, for the report.
        identity: the side's certificate, where a carriage asks for one.
    """

    def __init__(
        self,
        profile: DeviceProfile,
        side: Side,
        links: int,
        build: Build,
        actions: Sequence[ScheduledAction],
        out: Sender,
        t0_ns: int,
        scheduling: str = "",
        identity: Identity | None = None,
    ) -> None:
        self._scheduling = scheduling
        self._t0_ns = t0_ns
        self._out = out
        self._port = LocalPort(profile, side, links, identity)
        self._endpoint = build(profile, side, self._port)
        self._timer = Timer()
        self._late_ns = array("q")
        self._undecodable = 0
        self._received = 0
        self._foul: set[str] = set()
        self._end_ns = 0
        self._bursts = {
            (link, code): Bursts(count, self._port.at, partial(self._deliver_burst, link))
            for code, count in burst_sizes(profile).items()
            for link in range(links)
        }
        for action in actions:
            self._port.at(action.t_ns, partial(self._act, action.name))

    def run(self, end_ns: int) -> None:
        """Start the endpoint at the session's start, end at ``end_ns``, then report."""
        self._end_ns = end_ns
        poll = select.epoll()
        poll.register(self._timer.fileno(), select.EPOLLIN)
        receivers: dict[int, Callable[[], None]] = {}
        for carriage, link, code in self._port.carriages:
            poll.register(carriage.fileno(), select.EPOLLIN)
            receivers[carriage.fileno()] = self._receiver(carriage, link, code)
        self._out.send({"ready": time.monotonic_ns()})
        self._port.at(0, self._endpoint.start)
        self._port.at(_REPORT_NS, self._report)
        self._loop(poll, receivers)
        self._finish()

    def _loop(self, poll: select.epoll, receivers: dict[int, Callable[[], None]]) -> None:
        queue, t0, end = self._port.queue, self._t0_ns, self._end_ns
        monotonic, arm, wait, late = time.monotonic_ns, self._timer.arm, poll.poll, self._late_ns
        timer_fd, armed = self._timer.fileno(), -1
        while True:
            due = queue[0][0]
            if due > end:
                due = end
            if due + t0 > monotonic():
                if due != armed:
                    armed = due
                    arm(due + t0)
                ready = wait()
            else:
                ready = wait(0)
            for fd, _ in ready:
                if fd != timer_fd:
                    receivers[fd]()
            now = monotonic() - t0
            if now >= end:
                return
            for _ in range(_MOST_TIMERS):
                if queue[0][0] > now:
                    break
                due, _, call = heappop(queue)
                late.append(now - due)
                call(now)
                now = monotonic() - t0

    def _receiver(self, carriage: Carriage, link: int, code: int) -> Callable[[], None]:
        """What empties one carriage into the endpoint."""
        take, monotonic, t0 = carriage.take, time.monotonic_ns, self._t0_ns
        burst = self._bursts.get((link, code))
        receive = self._endpoint.receive

        def empty() -> None:
            for _ in range(_MOST_PACKETS):
                try:
                    message = take()
                except BlockingIOError:
                    return
                except OSError as error:
                    self._foul.add(str(error))
                    continue
                except ValueError:
                    self._undecodable += 1
                    continue
                now = monotonic() - t0
                if now < 0:
                    continue
                self._received += 1
                if burst is None:
                    receive(now, link, message)
                else:
                    burst.packet(now, message)

        return empty

    def _deliver_burst(
        self, link: int, now_ns: int, message: Message, received: int, count: int
    ) -> None:
        self._endpoint.receive_burst(now_ns, link, message, received, count)

    def _act(self, name: str, now_ns: int) -> None:
        self._port.events.append((now_ns, "bench", "action", {"name": name}))
        self._endpoint.operate(now_ns, name)

    def _report(self, now_ns: int) -> None:
        self._send()
        self._port.at(now_ns + _REPORT_NS, self._report)
        if len(self._late_ns) > _MOST_SAMPLES:
            del self._late_ns[::2]

    def _send(self) -> None:
        port = self._port
        data: dict[str, Any] = {}
        if port.executed:
            data["executed"] = port.executed
        if port.events:
            data["events"] = port.events
        if data:
            self._out.send(data)
            port.executed, port.events = [], []

    def _finish(self) -> None:
        self._send()
        self._out.send({"done": self._figures()})
        self._out.drain(_QUIT_WITHIN_S)
        # Packets still on their way must find the sockets open: no ICMP errors at the taps.
        time.sleep(_LINGER_S)

    def _figures(self) -> dict[str, Any]:
        late = np.frombuffer(self._late_ns, dtype=np.int64)
        p50, p99, top = (0, 0, 0)
        if len(late):
            p50, p99, top = (int(v) for v in np.quantile(late, (0.5, 0.99, 1.0)))
        return {
            "received": self._received,
            "undecodable": self._undecodable,
            "send_errors": self._port.send_errors,
            "receive_drops": _udp_receive_drops(),
            "timers": len(late),
            "timer_late_p50_ns": p50,
            "timer_late_p99_ns": p99,
            "timer_late_max_ns": top,
            "socket_errors": sorted(self._foul),
            "faults": self._port.faults(),
            "scheduling": self._scheduling,
            "cpu_ns": time.process_time_ns(),
        }


def _udp_receive_drops() -> int:
    """Datagrams that reached this namespace and no socket: full buffers, bad checksums, no port."""
    with open("/proc/self/net/snmp") as file:
        names, values = [line.split() for line in file if line.startswith("Udp:")]
    figures = dict(zip(names[1:], values[1:], strict=True))
    return sum(int(figures[name]) for name in ("InErrors", "NoPorts") if name in figures)
