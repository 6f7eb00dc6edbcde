"""Alarms of the network with and without a cause: what the injected faults warrant.

A fault is a step that is not ``within`` the device's limits, an attack, and whatever else the
bench does to a side from outside. What it warrants is taken widely: an alarm counts as false only
where nothing that the bench did can have brought it about.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise

from bench.measure import events as ev
from bench.network.addresses import ADDRESS_CHANGE
from bench.network.attacks import PREFIX
from bench.network.impairment import CLEAN, DIRECTIONS, Direction, Impairment
from bench.network.scenario import Window
from bench.sessions.cells import CELL_CHANGE
from bench.sessions.recording import Recording
from bench.units import ns

EXPECTED_ALARMS: Mapping[str, tuple[str, ...]] = {
    "outage": ("network-interrupted", "link-lost"),
    "blackout": ("network-interrupted", "link-lost"),
    "flap": ("network-interrupted", "link-lost"),
    "handover": ("network-interrupted", "network-delay", "link-lost"),
    "ramp": ("network-delay",),
    "profile": ("network-delay",),
    "loss": ("network-loss",),
    "radio-link-failure": ("network-loss", "network-interrupted", "link-lost"),
    "standby-outage": ("link-lost",),
    "jitter": ("network-jitter",),
    "bad-link": ("network-loss", "network-delay", "network-jitter"),
    "local-stop": ("local-stop-active",),
    "half-open": ("network-interrupted", "link-lost"),
    "mtu-hole": ("network-interrupted", "link-lost"),
    "address-change": ("network-interrupted", "link-lost"),
    "jamming": ("network-interrupted", "link-lost"),
    "tampering": ("network-intrusion",),
    "intrusion": ("network-intrusion",),
    "rogue-network": ("network-intrusion",),
    "update": ("network-intrusion",),
    "flood": ("network-intrusion",),
    "interferer": ("network-interrupted", "network-delay", "network-loss", "link-lost"),
    "connections": (),
    "network-state": (),
    "capacity": (),
    "journey": ("network-interrupted", "network-delay", "network-loss", "link-lost"),
    CELL_CHANGE: ("network-interrupted", "network-delay", "network-loss", "link-lost"),
}
"""Kind of the faulty step to the alarms that answer it. Any one of them is an answer; each has
its own deadline and priority."""

LOCAL_ALARMS = frozenset({"local-stop-active"})
"""Of these, what says nothing of the network."""

NETWORK_ALARMS = frozenset(a for names in EXPECTED_ALARMS.values() for a in names) - LOCAL_ALARMS

HEAVY_LOSS = 0.1
"""From this ratio on, independent loss may make silences, too; a tenth of it, never: eight
heartbeats in a row would be missing once in 10 ** 16."""

SILENT_STEP_S = 0.01
"""A delay that rises by so much at once is a silence of that length first; ramps go in smaller
steps."""

_SILENCE = frozenset({"network-interrupted", "link-lost", "network-loss"})
_UNSTEADY = frozenset({"network-delay", "network-jitter"})
_FROM_OUTSIDE: Mapping[str, frozenset[str]] = {
    PREFIX: NETWORK_ALARMS,
    ADDRESS_CHANGE: _SILENCE,
    "power-cut": _SILENCE,
}
"""Beginning of an action's name to the network alarms that it warrants until its step ends."""


@dataclass(frozen=True, slots=True)
class Fault:
    """What was done to the network from ``start_ns`` to ``end_ns``, and the alarms it warrants."""

    start_ns: int
    end_ns: int
    alarms: frozenset[str]


def faults(recording: Recording) -> list[Fault]:
    """Every injected fault of a session, in order of steps."""
    schedule = recording.schedule
    found = []
    for window in schedule.windows:
        if window.role != "within":
            alarms = frozenset(EXPECTED_ALARMS.get(window.kind, ()))
            alarms |= _by_impairments(recording, window)
            start_ns = window.start_ns - ev.EDGE_NS
            found.append(Fault(start_ns, window.end_ns, alarms))
        for action in schedule.actions:
            inside = window.start_ns <= action.t_ns < window.end_ns
            for begins, warranted in _FROM_OUTSIDE.items():
                if inside and action.name.startswith(begins):
                    found.append(Fault(action.t_ns, window.end_ns, warranted))
    return found


def _by_impairments(recording: Recording, window: Window) -> frozenset[str]:
    """The alarms that the states of all link directions in a step warrant."""
    alarms: frozenset[str] = frozenset()
    for link in recording.schedule.links:
        for direction in DIRECTIONS:
            usual, *states = _states(recording, window, link, direction)
            for before, state in pairwise(states):
                alarms |= brought_about(state, usual)
                if state.delay.mean_s >= before.delay.mean_s + SILENT_STEP_S:
                    alarms |= _SILENCE
    return alarms


def _states(
    recording: Recording, window: Window, link: str, direction: Direction
) -> list[Impairment]:
    """The state that a session begins with, the one before a step, then those in force in it."""
    changes = recording.schedule.of(link, direction)
    usual = changes[0][1] if changes and changes[0][0] == 0 else CLEAN
    before = ([usual] + [state for t_ns, state in changes if t_ns < window.start_ns])[-1]
    at_start = [state for t_ns, state in changes if t_ns <= window.start_ns]
    later = [state for t_ns, state in changes if window.start_ns < t_ns < window.end_ns]
    return [usual, before, *(at_start[-1:] or [CLEAN]), *later]


def brought_about(state: Impairment, usual: Impairment) -> frozenset[str]:
    """The network alarms that the state of a link can bring about, where ``usual`` is usual."""
    alarms: set[str] = set()
    if not state.up or state.mtu_bytes is not None:
        alarms |= _SILENCE
    if state.hold:  # nothing comes, and then what is old
        alarms |= _SILENCE | _UNSTEADY
    if state.loss is not None and state.loss != usual.loss:
        alarms.add("network-loss")
        if state.loss.ratio >= HEAVY_LOSS or state.loss.effect > 1:
            alarms |= _SILENCE
    if state.ber > usual.ber:
        alarms |= _SILENCE | {"network-intrusion"}
    if state.rate_bps is not None and state.rate_bps < (usual.rate_bps or float("inf")):
        alarms |= _SILENCE | _UNSTEADY
    overtaking = state.reordering is not None or state.order != usual.order
    if state.delay != usual.delay or overtaking or state.duplication or state.slot != usual.slot:
        alarms |= _UNSTEADY
    return frozenset(alarms)


def false_alarms(recording: Recording) -> list[tuple[int, str]]:
    """The signals of network alarms, on either side, that no injected fault warrants.

    A signal is warranted that begins while a fault that warrants the alarm is in force, or within
    the alarm's declared delay after it; so is the first one after the fault began, however late:
    late is not false.

    Returns:
        When each signal began, in ns, and the alarm.
    """
    injected = faults(recording)
    found = []
    answered: set[tuple[str, str, int]] = set()
    on: set[tuple[str, str]] = set()
    for event in recording.named("alarm-signal"):
        name = str(event.value.get("alarm"))
        key = event.side, name
        if name not in NETWORK_ALARMS:
            continue
        if not event.value.get("on"):
            on.discard(key)
            continue
        if key in on:
            continue
        on.add(key)
        declared = recording.device.alarm(name)
        grace_ns = ns(declared.within_s) if declared is not None else 0
        warranted = False
        for number, fault in enumerate(injected):
            if name not in fault.alarms or event.t_ns < fault.start_ns:
                continue
            first = (*key, number) not in answered
            answered.add((*key, number))
            warranted |= first or event.t_ns <= fault.end_ns + grace_ns
        if not warranted:
            found.append((event.t_ns, name))
    return found
