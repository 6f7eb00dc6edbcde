"""A real device's contacts: its stop is pressed, its motion and its alarm lights are seen.

::

    [roles]
    contacts = "box"                # an instrument of kind "contact-box"

    [contacts]                      # beside the patient
    motion = "wheel"                # an input of kind "motion": an encoder on the drive
    still = "50ms"                  # no edge for so long: it stands still
    stop = "stop"                   # an output; its safe level is "pressed"
    alarm_test = "lamp-test"        # an output: the device shows all its alarm lights
    dark = "2.5s"                   # longer than a flashing light is dark
    [contacts.lights.network-delay] # an alarm of the device's profile
    input = "lamp"
    priority = "medium"

What the box says nothing of may be unplugged. So lights are tested before and behind each session,
and a drive that stood still must be seen to move again; else the session is the bench's own error.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from bench.benches.lab.lines import PRIORITIES
from bench.sessions.recording import Event
from bench.tables import Table
from bench.units import ns
from instruments.contacts.files import ConfiguredBox
from instruments.contacts.timing import Pair, Stamp
from instruments.contacts.witness import Record
from instruments.visa.errors import NotWitnessed

MOST_DOUBT_S = 0.02
"""An edge whose time is not known better than this is none that can be judged."""


@dataclass(frozen=True, slots=True)
class Light:
    """The light of an alarm: which input sees it, and the priority that it stands for."""

    input: str
    priority: str


@dataclass(frozen=True)
class DeviceContacts:
    """What of a device a contact box is wired to; names of inputs and outputs, empty: none."""

    box: str
    motion: str = ""
    still_s: float = 0.0
    stop: str = ""
    alarm_test: str = ""
    dark_s: float = 0.0
    lights: Mapping[str, Light] = field(default_factory=dict)

    @property
    def seen(self) -> tuple[str, ...]:
        """What is observed or done, as a recording tells it."""
        has = {"motion": self.motion, "stop": self.stop, "lights": self.lights}
        return tuple(name for name, there in has.items() if there)


def contacts_of(table: Table, box: ConfiguredBox) -> DeviceContacts:
    """The ``[contacts]`` table.

    Raises:
        InputError: it names what the box does not have, or a part of it makes no sense alone.
    """
    table.only((), ("motion", "still", "stop", "alarm_test", "dark", "lights"))
    lights = {name: _light(one, box) for name, one in table.named("lights").items()}
    for key, other in (("motion", "still"), ("alarm_test", "lights"), ("dark", "lights")):
        if (key in table.data) != (other in table.data):
            missing, there = (key, other) if other in table.data else (other, key)
            table.fail(missing, "is missing", f"give it with {there}: each needs the other")
    found = DeviceContacts(
        box=box.role,
        motion=_one_of(table, "motion", [n for n, i in box.inputs.items() if i.kind == "motion"]),
        still_s=_span(table, "still"),
        stop=_one_of(table, "stop", box.outputs),
        alarm_test=_one_of(table, "alarm_test", box.outputs),
        dark_s=_span(table, "dark"),
        lights=lights,
    )
    if not found.seen:
        table.fail("motion", "is missing", "name a motion, a stop, or lights")
    if found.stop and not box.outputs[found.stop].safe:
        table.fail("stop", "is released in the safe state", "give the output safe = 1: pressed")
    return found


def _light(table: Table, box: ConfiguredBox) -> Light:
    table.only(("input", "priority"))
    known = [name for name, one in box.inputs.items() if one.kind in ("light", "sound")]
    return Light(_one_of(table, "input", known), table.choice("priority", PRIORITIES))


def _one_of(table: Table, key: str, known: Iterable[str]) -> str:
    return table.choice(key, tuple(known)) if key in table.data else ""


def _span(table: Table, key: str) -> float:
    if key not in table.data:
        return 0.0
    seconds = table.quantity(key, "s")
    if not 0 < seconds <= 10:
        table.fail(key, "is no such time", "give more than 0 and at most 10s")
    return seconds


# ---- from the box's record to a session's events ------------------------------------------------


def motion_events(
    record: Record,
    name: str,
    still_s: float,
    t0_ns: int,
    end_ns: int,
    until_ns: int,
    released: Sequence[Pair] = (),
) -> tuple[Event, ...]:
    """The contact ``motion`` of a session: 1 from an encoder's first edge on, 0 behind its last.

    Each is taken at the end of its uncertainty that makes the motion longer; after the last edge
    the drive is taken to move as long as it took from the edge before, since it may have. But no
    motion is taken to begin before a release of the stop that the box's own clock has before it.

    Args:
        record: it reaches from before the session to ``until_ns``, behind it.
        still_s: no edge for so long is standstill.
        t0_ns, end_ns: the session's start (monotonic), and its length.
        released: when the stop was let go of (:meth:`~instruments.contacts.box.ContactBox.set`).

    Raises:
        NotWitnessed: the record has a gap, or the drive was not seen to move behind its last
            standstill: an encoder that is unplugged looks the same; or it began to move at a
            release, before or behind it.
    """
    edges = [stamp for stamp, _ in record.stamps(name, t0_ns - ns(still_s), until_ns)]
    if not edges or _begin(edges[-1]) <= t0_ns + end_ns:
        raise NotWitnessed(
            name, "was not seen to move behind the session: unplugged looks the same"
        )
    moving, changes = False, []
    for run in _runs(edges, ns(still_s)):
        more = _end(run[-1]) - _end(run[-2]) if len(run) > 1 else ns(still_s)
        begin = _set_in_motion(record, name, run[0], released) - t0_ns
        end = _end(run[-1]) + more - t0_ns
        moving |= begin <= 0 <= end
        changes += [(begin, 1, run[0])] if 0 < begin <= end_ns else []
        changes += [(end, 0, run[-1])] if 0 < end <= end_ns else []
    _insist(name, [stamp for _, _, stamp in changes])
    return tuple(
        Event(t_ns, "patient", "contact", "motion", level)
        for t_ns, level in ((0, int(moving)), *((t_ns, level) for t_ns, level, _ in changes))
    )


def _set_in_motion(record: Record, name: str, edge: Stamp, released: Sequence[Pair]) -> int:
    """The earliest time of a first edge, no earlier than the release that came before it."""
    begin = _begin(edge)
    for release in released:
        if not begin < release.before_ns <= _end(edge):
            continue
        when = record.stamp(release.t_us)
        if when is None or edge.t_ns < when.t_ns:
            raise NotWitnessed(name, "began to move at the release of the stop, or just before it")
        begin = release.before_ns
    return begin


def light_events(
    record: Record, alarm: str, light: Light, dark_s: float, t0_ns: int, end_ns: int, until_ns: int
) -> tuple[Event, ...]:
    """The signals of an alarm in a session: on at its first light, off at the end of its last.

    Dark for less than ``dark_s`` is a light that flashes. An alarm that was on when the session
    began is told at 0. Going on is taken at the later end of its uncertainty.

    Raises:
        NotWitnessed: the record has a gap, or does not reach ``dark_s`` behind the session.
    """
    name, active = light.input, record.inputs[light.input].active
    stamps = record.stamps(name, 0, until_ns)
    _insist(name, [stamp for stamp, _ in stamps if stamp.t_ns > t0_ns - ns(dark_s)])
    spans = [(0, until_ns)] if record.level_at_first(name) == active else []
    for stamp, level in stamps:
        if level == active:
            spans.append((_end(stamp), until_ns))
        elif spans:
            spans[-1] = (spans[-1][0], _end(stamp))
    told = []
    for begin, end in _together(spans, ns(dark_s)):
        if begin <= t0_ns + end_ns and end > t0_ns:
            told.append((max(0, begin - t0_ns), True))
            told += [(end - t0_ns, False)] if end <= t0_ns + end_ns else []
    return tuple(
        Event(
            t_ns, "patient", "signal", "alarm-signal",
            {"alarm": alarm, "priority": light.priority, "on": on},
        )
        for t_ns, on in told
    )  # fmt: skip


def _insist(name: str, stamps: Iterable[Stamp]) -> None:
    """Raises: NotWitnessed: the time of one is not known well enough to judge."""
    worst_ns = max((one.uncertainty_ns for one in stamps), default=0)
    if worst_ns > ns(MOST_DOUBT_S):
        raise NotWitnessed(
            name, f"changed at a time that is known within {worst_ns / 1e6:g} ms only"
        )


def _begin(stamp: Stamp) -> int:
    return stamp.t_ns - stamp.uncertainty_ns


def _end(stamp: Stamp) -> int:
    return stamp.t_ns + stamp.uncertainty_ns


def _runs(edges: Iterable[Stamp], still_ns: int) -> list[list[Stamp]]:
    """Edges that are nearer together than standstill takes."""
    found: list[list[Stamp]] = []
    for one in edges:
        if found and _begin(one) - _end(found[-1][-1]) < still_ns:
            found[-1].append(one)
        else:
            found.append([one])
    return found


def _together(spans: Iterable[tuple[int, int]], gap_ns: int) -> list[tuple[int, int]]:
    """Spans, ascending, those joined that are nearer to each other than a gap."""
    found: list[tuple[int, int]] = []
    for begin, end in spans:
        if found and begin - found[-1][1] < gap_ns:
            found[-1] = (found[-1][0], max(end, found[-1][1]))
        else:
            found.append((begin, end))
    return found
