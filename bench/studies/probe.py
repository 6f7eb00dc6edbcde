"""``bench probe``: a STAMP session as its sender, or a reflector, until told to stop."""

from __future__ import annotations

import errno
import os
import queue
import socket
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from bench.errors import InputError
from bench.studies.probe_figures import figures
from bench.studies.probe_words import Sending
from bench.studies.signals import Signals
from bench.units import NS_PER_S, ns
from instruments.emulators.timing import set_timer_slack
from instruments.probes.clock_state import ClockState, clock_state
from instruments.probes.prober import Prober, ProberCounts, Unreachable
from instruments.probes.probing import Samples, Session
from instruments.probes.reflecting import Reflector
from instruments.probes.reflector import ReflectorSockets
from instruments.probes.stamp_time import ErrorEstimate

OK, INCONCLUSIVE, INTERRUPTED = 0, 3, 130

_RESOLVE_S = 10.0
_LEAD_NS = 20_000_000
_CLOCK_NS = NS_PER_S
"""How often the kernel is asked about its clock."""

_TOO_LATE_SHARE = 0.5
"""Of the interval: packets later than that were no longer a schedule."""


class Watcher(Protocol):
    """Who is told what happens; every record has ``event`` and plain data, SI units."""

    def tell(self, record: Mapping[str, Any]) -> None:
        """``ready``, then ``progress``, then ``end``."""


class _Estimates:
    """The error estimate of this host's timestamps, asked anew once a second."""

    def __init__(self, ptp: bool) -> None:
        self._ptp, self._asked_ns = ptp, time.monotonic_ns()
        self.state = clock_state()
        self._estimate = self._of(self.state)

    def _of(self, state: ClockState) -> ErrorEstimate:
        return ErrorEstimate.of(state.error_s, synchronised=state.synchronised, ptp=self._ptp)

    def __call__(self) -> ErrorEstimate:
        now_ns = time.monotonic_ns()
        if now_ns - self._asked_ns >= _CLOCK_NS:
            self._asked_ns, self.state = now_ns, clock_state()
            self._estimate = self._of(self.state)
        return self._estimate

    def to_json(self) -> dict[str, Any]:
        """What is known of the clock; the error in s."""
        state = self.state
        error = state.error_s if state.known else None
        return {"synchronised": state.synchronised if state.known else None, "error": error}


def run_sender(
    sending: Sending, watcher: Watcher, keep: Callable[[Samples], None] = lambda samples: None
) -> int:
    """Send, listen, and tell the figures; ``keep`` is given what they were made of.

    Returns:
        0: answers came; 3: not one came; 130: interrupted.

    Raises:
        InputError: the host cannot be resolved or reached, or takes no packets of that size.
    """
    family, place = resolve(sending.host, sending.port)
    estimates = _Estimates(sending.ptp)
    session = Session(
        sending.due_ns,
        size=sending.size,
        ssid=sending.ssid,
        filling=sending.filling,
        key=sending.key,
    )
    set_timer_slack()
    try:
        with Signals() as signals, Prober(family, place, estimates) as prober:
            start_ns = time.monotonic_ns() + _LEAD_NS
            watcher.tell(_sender_ready(sending, place, prober, estimates, start_ns))

            def progress(session: Session) -> None:
                seconds = (time.monotonic_ns() - start_ns) / NS_PER_S
                counts = {"sent": session.next, "answered": session.answered}
                watcher.tell({"event": "progress", "time": seconds, **counts})

            prober.run(
                session, start_ns=start_ns, wait_ns=ns(sending.wait_s), stop=signals, tell=progress
            )
            samples = session.samples()
            end = _sender_end(sending, samples, prober.counts, estimates)
            watcher.tell(end)
            keep(samples)
            if signals.came is not None:
                return INTERRUPTED
    except Unreachable as error:
        raise _unreachable(sending, error.reason) from error
    return OK if end["received"] else INCONCLUSIVE


def resolve(host: str, port: int) -> tuple[int, tuple[object, ...]]:
    """Address family and address of a host; its first one, as the resolver orders them.

    Raises:
        InputError: there is none, or the resolver is silent.
    """
    answer: queue.Queue[Any] = queue.Queue()

    def ask() -> None:
        try:
            answer.put(socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)[0])
        except (OSError, UnicodeError) as error:
            answer.put(error)

    # In a thread: the C library's resolver hears neither signals nor deadlines.
    threading.Thread(target=ask, daemon=True).start()
    try:
        found = answer.get(timeout=_RESOLVE_S)
    except queue.Empty:
        found = TimeoutError(errno.ETIMEDOUT, f"no answer within {_RESOLVE_S:g} s")
    if isinstance(found, Exception):
        reason = getattr(found, "strerror", None) or str(found)
        raise InputError(
            f"cannot be resolved: {reason}", remedy="give an address or another name",
            field="HOST", value=host,
        ) from found  # fmt: skip
    return found[0], found[4]


def _unreachable(sending: Sending, error: OSError) -> InputError:
    if error.errno == errno.EMSGSIZE:
        return InputError(
            "is more than this path takes", remedy="give a smaller size", field="--size",
            value=sending.size,
        )  # fmt: skip
    return InputError(
        f"cannot be reached: {error.strerror or error}", remedy="look at address and routes",
        field="HOST", value=sending.host,
    )  # fmt: skip


def _sender_ready(
    sending: Sending,
    place: tuple[object, ...],
    prober: Prober,
    estimates: _Estimates,
    start_ns: int,
) -> dict[str, Any]:
    address, port = prober.source
    return {
        "event": "ready",
        "role": "sender",
        "host": sending.host,
        "address": place[0],
        "port": sending.port,
        "source": {"address": address, "port": port},
        "count": len(sending.due_ns),
        "interval": sending.interval_s,
        "poisson": sending.poisson,
        "size": sending.size,
        "wait": sending.wait_s,
        "seed": sending.seed,
        "ssid": sending.ssid,
        "authenticated": sending.key is not None,
        "timestamps": "ptp" if sending.ptp else "ntp",
        "kernel_stamps_granted": prober.stamps_granted,
        "clock": estimates.to_json(),
        "t0_monotonic_ns": start_ns,
        "pid": os.getpid(),
    }


def _sender_end(
    sending: Sending, samples: Samples, counts: ProberCounts, estimates: _Estimates
) -> dict[str, Any]:
    ran_ns = counts.ended_ns - counts.started_ns
    found = figures(
        samples,
        wait_ns=ns(sending.wait_s),
        ran_ns=ran_ns,
        numbering=sending.numbering,
    )
    end = {
        "event": "end",
        "role": "sender",
        "reason": "interrupted" if counts.interrupted else "complete",
        "complete": not counts.interrupted,
        "time": ran_ns / NS_PER_S,
        **found,
        "send_failed": dict(counts.failed),
        "refused": dict(counts.refused),
        "overflowed": counts.overflowed,
        "clock": estimates.to_json(),
        "clock_steps": counts.clock_steps,
        "largest_clock_step": counts.largest_step_ns / NS_PER_S,
    }
    end["notes"] = notes_of(end, sending.interval_s)
    return end


def notes_of(end: Mapping[str, Any], interval_s: float) -> list[str]:
    """What makes the figures of a sender doubtful, or narrower than they look; a line each."""
    found = []
    if not end["complete"]:
        found.append("interrupted: the figures are of the packets sent so far")
    if end["clock_steps"]:
        found.append("this host's clock was set while the session ran: delays across it are wrong")
    if end["impossible"]:
        found.append(
            f"{end['impossible']} answers have times that contradict each other (a negative delay)"
            "; they count as received and in no delay"
        )
    if end["overflowed"]:
        found.append(f"this host had no room for {end['overflowed']} answers: not the network's")
    if end["send_failed"]:
        found.append("packets that this host could not send are in no figure: see send_failed")
    if end["received"] and end["lost_undecided"] and end["reflector"]["stateful"] is None:
        found.append(
            "the reflector's numbers equal ours: which way packets were lost is not known "
            "(if it is stateful, say --reflector stateful: all were lost on the way back)"
        )
    there = end["forward"]
    if there["lost"] is not None and end["lost"] and (there["duplicated"] or there["reordered"]):
        found.append(
            "packets were copied or overtaken on the way there: the reflector counts those too, so "
            "a loss may be put on the wrong way"
        )
    if end["received"] and end["clock_offset"] is None:
        found.append("the offset between the two clocks changed: no one value fits all packets")
    late = end["lateness"]["p99"]
    if late is not None and late > _TOO_LATE_SHARE * interval_s:
        found.append("this host did not keep the schedule: see lateness")
    if end["stamps"]["t1"]["userspace"] or end["stamps"]["t4"]["userspace"]:
        found.append("some stamps were taken in userspace: they contain this host's scheduling")
    return found


def run_reflector(
    address: str | None,
    port: int,
    *,
    stateful: bool,
    watcher: Watcher,
    ptp: bool = False,
    key: bytes | None = None,
    for_s: float | None = None,
) -> int:
    """Answer test packets until interrupted, or for ``for_s``.

    Returns:
        0 at the end of its time; 130 when interrupted.

    Raises:
        InputError: the port is taken, or cannot be had.
    """
    estimates = _Estimates(ptp)
    with Signals() as signals, _sockets(address, port) as sockets:
        reflector = Reflector(stateful=stateful, error=estimates, key=key, port=sockets.port)
        start_ns = time.monotonic_ns()
        ready = _reflector_ready(reflector, sockets, estimates, start_ns)
        watcher.tell(ready | {"authenticated": key is not None})
        sockets.serve(reflector, signals, None if for_s is None else start_ns + ns(for_s))
        watcher.tell(
            {
                "event": "end",
                "role": "reflector",
                "reason": "complete" if signals.came is None else "interrupted",
                "time": (time.monotonic_ns() - start_ns) / NS_PER_S,
                **_reflected(reflector, sockets),
                "clock": estimates.to_json(),
            }
        )
        return OK if signals.came is None else INTERRUPTED


def _reflector_ready(
    reflector: Reflector, sockets: ReflectorSockets, estimates: _Estimates, start_ns: int
) -> dict[str, Any]:
    return {
        "event": "ready",
        "role": "reflector",
        "addresses": list(sockets.addresses),
        "port": sockets.port,
        "stateful": reflector.stateful,
        "timestamps": "ptp" if estimates().ptp else "ntp",
        "kernel_stamps_granted": sockets.stamps_granted,
        "clock": estimates.to_json(),
        "t0_monotonic_ns": start_ns,
        "pid": os.getpid(),
    }


def _reflected(reflector: Reflector, sockets: ReflectorSockets) -> dict[str, Any]:
    counts, places = reflector.counts, sockets.places
    stamps: dict[str, dict[str, int]] = {}
    for name, taken in (("t2", places.received), ("t3", places.sent)):
        stamps[name] = {place: taken[place] for place in ("kernel", "userspace")}
    return {
        "received": counts.received,
        "reflected": counts.reflected,
        "discarded": dict(counts.discarded),
        "sessions": counts.sessions if reflector.stateful else None,
        "send_failed": dict(places.failed),
        "stamps": stamps,
    }


def _sockets(address: str | None, port: int) -> ReflectorSockets:
    try:
        return ReflectorSockets(address, port)
    except OSError as error:
        problems: dict[int | None, tuple[str, str]] = {
            errno.EADDRINUSE: ("is taken", "end what listens there, or give another --port"),
            errno.EACCES: (
                "is not for everybody",
                "run it as root, or give --port above 1023 here and to the sender",
            ),
        }
        if error.errno in problems:
            problem, remedy = problems[error.errno]
            raise InputError(problem, remedy=remedy, field="--port", value=port) from error
        raise InputError(
            f"is no address of this host: {error.strerror}", remedy="give one that ip addr shows",
            field="--address", value=address,
        ) from error  # fmt: skip
