"""Security: SEC-1 to SEC-7, one trial each.

What attackers and further clients did and were answered is the bench's own observation; that a
refusal was logged is the device's word, which is what is asked for.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from bench.devices.profile import AlarmProfile
from bench.devices.security import CONTROL
from bench.measure import events as ev
from bench.measure.alarming import mon_2
from bench.measure.holding import fail_3, loc_1
from bench.sessions.recording import Event, Recording
from bench.units import ns

SHOWN = 5
"""Attacks of a kind that must reach the device while it moves, or nothing is shown."""

TAMPERING = ("flip", "replay", "reorder", "inject")
IDENTITIES = ("none", "expired", "foreign", "revoked", "replayed")
SIGNATURES = ("unsigned", "foreign", "altered")

SURROGATE = "IP layer: no radio is involved"
"""What stands beside a verdict on a rogue network or on jamming."""

FLOOD_PER_S = 1000.0
"""Foreign packets per s that must arrive around the press of the local stop."""

MARKED = 100
"""Commands marked at the test point that must be executed with and without encryption."""

_ARRIVES_NS = ns(0.6)
"""Within this time of an attack its packet is at the device, or is lost."""
_OPENS_NS = ns(0.2)
_AROUND_NS = ns(0.2)
SETTLED_NS = ns(0.5)
"""After a change, what was under way before it is over."""


def seen(recording: Recording, name: str) -> list[dict[str, Any]]:
    """What the bench noted under a name, in order of time."""
    return [e.value for e in recording.named(name) if e.origin == "bench"]


def _moving(recording: Recording) -> list[tuple[int, int]]:
    """The spans in which the drive moves."""
    edges = [(e.t_ns, e.value) for e in ev.contact(recording, "motion")]
    edges.append((recording.schedule.end_ns, 0))
    return [(start, end) for (start, value), (end, _) in pairwise(edges) if value == 1]


def _foreign_arrivals(recording: Recording, direction: int = 0) -> np.ndarray[Any, Any]:
    """Rows of attackers' and further clients' packets as they reached a side."""
    rows: np.ndarray[Any, Any] = recording.packets.where(
        tap="third-party", direction=direction
    ).rows
    return rows


def _newer(recording: Recording, arrived: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Which foreign commands arrived with a number beyond all of the device's own until then.

    Others are old where they arrive: that they are not executed tells nothing of their refusal.
    """
    watched = recording.device.stream(recording.device.watched).code
    own = recording.packets.where(tap="patient", direction=0, stream=watched)
    order = np.argsort(own.column("t_ns"), kind="stable")
    highest = np.maximum.accumulate(own.column("seq")[order].astype(np.int64))
    before = np.searchsorted(own.column("t_ns")[order], arrived["t_ns"], side="right")
    last = np.concatenate(([-1], highest))[before]
    return np.asarray((arrived["stream"] == watched) & (arrived["seq"] > last))


def _executable(recording: Recording, t_ns: int, attacks: Sequence[Event]) -> bool:
    """Whether a command of attackers arrived while the drive moved, and not too old for it."""
    given = [e.t_ns for e in attacks if e.t_ns <= t_ns]
    moving = any(start <= t_ns < end for start, end in _moving(recording))
    return moving and bool(given) and t_ns - max(given) < _executed_within_ns(recording)


def _executed_within_ns(recording: Recording) -> int:
    """What is older where it arrives is executed by nobody, whoever sent it."""
    return ns(recording.device.declares.get("command_age_s", _ARRIVES_NS / 1e9))


def logged(recording: Recording, peer: int) -> bool:
    """Whether the device logged that it refused something of this peer."""
    return any(
        e.origin == "log" and e.value.get("peer") == peer
        for e in recording.named("refused", side="patient")
    )


# ---- commands -----------------------------------------------------------------------------------


def _commands(recording: Recording, name: str) -> list[tuple[int, int]]:
    """Number and content of commands: as the operator's side sent them, or as they were executed.

    Raises:
        Cannot: they were not watched.
    """
    found = [e for e in recording.named(name) if e.origin == "contact"]
    if not found:
        raise ev.Cannot(f"no {name.replace('-', ' ')} were seen")
    return [(int(seq), int(value)) for event in found for seq, value in event.value]


def altered(sent: Sequence[tuple[int, int]], executed: Sequence[tuple[int, int]]) -> int:
    """How many executed commands are not, bit for bit, once and in order, among those sent.

    Args:
        sent: number and content, by the authenticated operator's side.
        executed: the same, in order of execution.
    """
    known = dict(sent)
    wrong, last = 0, -1
    for seq, value in executed:
        wrong += known.get(seq) != value or seq <= last
        last = max(last, seq)
    return wrong


def _altered(recording: Recording) -> int:
    sent, executed = (_commands(recording, f"commands-{what}") for what in ("sent", "executed"))
    at_tap = recording.packets.where(
        tap="doctor", direction=0, stream=recording.device.stream(recording.device.watched).code
    )
    # On real packets one that leaves at the very end may pass the tap after it.
    unknown = set(at_tap.column("seq").tolist()) - {seq for seq, _ in sent}
    if unknown or len(sent) < len(at_tap):
        raise ev.Cannot(f"{len(sent)} commands are known, {len(at_tap)} were seen being sent")
    done = recording.packets.where(tap="actuator")
    if len(executed) != len(done):
        raise ev.Cannot(f"{len(executed)} commands are known, {len(done)} were executed")
    return altered(sent, executed)


def sec_5(recording: Recording, alarm: AlarmProfile | None) -> tuple[float, ev.Details]:
    """Executed commands that are not what the operator's side sent: bit for bit, once, in order.

    It shows something only if enough of every kind of attack reached the device while it moved.
    """
    wrong = _altered(recording)
    spans = _moving(recording)
    window = ev.faulty_window(recording)
    done = recording.packets.where(tap="actuator").between(window.start_ns, window.end_ns)
    if len(done) < MARKED and not wrong:
        raise ev.Cannot(f"only {len(done)} commands were executed while it was attacked")
    watched = recording.device.stream(recording.device.watched).code
    arrived = _foreign_arrivals(recording)
    arrived = arrived[arrived["stream"] == watched]
    newer = arrived[_newer(recording, arrived)]
    attacks = [e for e in recording.named("attack") if e.value["stream"] == watched]
    details: ev.Details = {"executed": float(len(_commands(recording, "commands-executed")))}
    for kind in TAMPERING:
        events = [e for e in attacks if e.value["kind"] == kind]
        told = newer if kind == "inject" else arrived
        within_ns = _executed_within_ns(recording) if kind in ("flip", "inject") else _ARRIVES_NS
        count = sum(_reached(event, spans, told, within_ns) for event in events)
        details[f"{kind}_reached"] = float(count)
        if count < SHOWN and not wrong:
            raise ev.Cannot(f"only {count} attacks of the kind {kind} reached the moving device")
    return float(wrong), details


def _reached(
    event: Event, spans: list[tuple[int, int]], arrived: np.ndarray[Any, Any], within_ns: int
) -> bool:
    if not any(start <= event.t_ns < end for start, end in spans):
        return False
    near = (arrived["t_ns"] >= event.t_ns) & (arrived["t_ns"] <= event.t_ns + within_ns)
    return bool((near & (arrived["seq"] == event.value["seq"])).any())


# ---- who wants in -------------------------------------------------------------------------------


def sec_1(recording: Recording, alarm: AlarmProfile | None) -> tuple[float, ev.Details]:
    """Clients without a valid identity that were let in; one refused without a log is ``inf``."""
    return _intrusions(recording, IDENTITIES)


def sec_2(recording: Recording, alarm: AlarmProfile | None) -> tuple[float, ev.Details]:
    """Clients off the whitelist that were let in; one refused without a log is ``inf``."""
    return _intrusions(recording, ("unlisted",))


def attempts_of(recording: Recording, kind: str) -> list[dict[str, Any]]:
    """How attempts ended.

    Raises:
        Cannot: not all of them were seen to their end.
    """
    begun = [v for v in seen(recording, "attack-begins") if v["kind"] == kind]
    ended = [v for v in seen(recording, "attempt") if v["kind"] == kind]
    if not begun or len(ended) != sum(v["count"] for v in begun):
        raise ev.Cannot(f"{len(ended)} of {len(begun)} attempts were seen to their end")
    rows = _foreign_arrivals(recording)
    openings = rows["t_ns"][rows["seq"] == 0]  # a client numbers its packets from its opening on
    for attempt in ended:
        began = ns(attempt["began_s"])
        if not ((openings >= began) & (openings <= began + _OPENS_NS)).any():
            raise ev.Cannot(f"the attempt {attempt['as']} did not reach the device")
    return ended


def _intrusions(recording: Recording, wanted: Sequence[str]) -> tuple[float, ev.Details]:
    attempts = attempts_of(recording, "connect")
    if not any(a["as"] == "valid" and a["received"] for a in attempts):
        raise ev.Cannot("no lawful client was let in, so that a refusal shows nothing")
    missing = set(wanted) - {a["as"] for a in attempts}
    if missing:
        raise ev.Cannot(f"not attempted: {', '.join(sorted(missing))}")
    foreign = [a for a in attempts if a["as"] in wanted]
    accepted = [a for a in foreign if a["answer"] == "welcome" or a["received"]]
    return _refusals(recording, foreign, accepted, _altered(recording))


def _refusals(
    recording: Recording,
    attempts: Sequence[Mapping[str, Any]],
    accepted: Sequence[Mapping[str, Any]],
    executed: int = 0,
) -> tuple[float, ev.Details]:
    """Count what was accepted; a refusal that the device did not log is ``inf``."""
    details: ev.Details = {
        "attempts": float(len(attempts)),
        "accepted": ", ".join(a["as"] for a in accepted),
        "altered_commands": float(executed),
    }
    refused = [a for a in attempts if a not in accepted]
    silent = [a["as"] for a in refused if not logged(recording, a["peer"])]
    if silent:
        details["wrong"] = f"refused without a log entry: {', '.join(silent)}"
        return ev.NEVER, details
    return float(len(accepted) + executed), details


def sec_3(recording: Recording, alarm: AlarmProfile | None) -> tuple[float, ev.Details]:
    """What of a rogue network was accepted; no alarm within its time is ``inf``.

    Accepted: a session opened with it, or a command executed that the operator did not send.
    """
    if alarm is None:
        raise ev.Cannot("no alarm is declared for this fault")
    attacks = [e for e in recording.named("attack") if e.value["kind"] == "rogue"]
    arrived, back = _foreign_arrivals(recording), _foreign_arrivals(recording, 1)
    if len(attacks) < SHOWN or len(arrived) < len(attacks) or len(back) < len(attacks):
        raise ev.Cannot("the rogue network did not reach both sides")
    opened = _intercepted(recording)
    onset = int(arrived["t_ns"][0])
    ev.moving_at(recording, onset)
    accepted = opened + _altered(recording)
    orders = arrived[_newer(recording, arrived)]["t_ns"]
    fit = sum(_executable(recording, int(t_ns), attacks) for t_ns in orders)
    if fit < SHOWN and not accepted:
        raise ev.Cannot(f"only {fit} of its commands arrived new, in time, and while it moved")
    details: ev.Details = {
        "attempts": float(len(attacks)), "accepted": float(accepted), "surrogate": SURROGATE,
    }  # fmt: skip
    spans = ev.alarm_spans(recording, alarm.name)
    if any(on < onset and (off is None or off > onset) for on, off, _ in spans):
        raise ev.Cannot(f"the alarm {alarm.name} was on before the attack")
    after = [(on, priority) for on, _, priority in spans if on >= onset]
    if not after and not accepted:
        return ev.never(recording, onset, alarm.within_s, details), details
    if after:
        details["alarm_s"] = (after[0][0] - onset) / 1e9
        late = after[0][0] - onset > ns(alarm.within_s)
        if late or after[0][1] != alarm.priority:
            details["wrong"] = "the alarm came late or with another priority"
            return ev.NEVER, details
    return float(accepted), details


def _intercepted(recording: Recording) -> int:
    """Sessions that a rogue network opened.

    Raises:
        Cannot: of those that it tried to open over real DTLS, too few were seen to their end.
    """
    opened = len(seen(recording, "intercepted"))
    ended = opened + recording.health.counters.get("attacker/intercepts_refused", 0)
    over_dtls = recording.device.stream(CONTROL).carriage == "dtls"
    if recording.bench != "virtual" and over_dtls and ended < SHOWN:
        raise ev.Cannot(f"only {ended} handshakes of the rogue network were seen to their end")
    return opened


def sec_4(recording: Recording, alarm: AlarmProfile | None) -> tuple[float, ev.Details]:
    """As FAIL-3; no alarm within its time is ``inf``."""
    value, details = fail_3(recording, alarm)
    if alarm is None:
        raise ev.Cannot("no alarm is declared for this fault")
    alarm_s, more = mon_2(recording, alarm)
    details |= {"surrogate": SURROGATE, "alarm": alarm.name}
    details |= {"alarm_s": alarm_s if alarm_s < ev.NEVER else None}
    if alarm_s > alarm.within_s:
        details["wrong"] = "no alarm in time, or with another priority"
        details |= {key: found for key, found in more.items() if key == "watched_s"}
        return ev.NEVER, details
    return value, details


def sec_6(recording: Recording, alarm: AlarmProfile | None) -> tuple[float, ev.Details]:
    """Updates without a valid signature that were installed; unlogged refusals are ``inf``.

    It shows something only if the device takes the update that the maker signed.
    """
    attempts = attempts_of(recording, "update")
    running = {e.value.get("running") for e in recording.named("version", side="patient")}
    if any(a["answer"] != "welcome" for a in attempts):
        raise ev.Cannot("an update could not be offered")

    def installed(attempt: Mapping[str, Any]) -> bool:
        return attempt["update"] == "installed" or f"2-{attempt['as']}" in running

    if not any(a["as"] == "signed" and installed(a) for a in attempts):
        raise ev.Cannot("the signed update was not installed, so that a refusal shows nothing")
    foreign = [a for a in attempts if a["as"] in SIGNATURES]
    if {a["as"] for a in foreign} != set(SIGNATURES):
        raise ev.Cannot("not every kind of bad signature was offered")
    return _refusals(recording, foreign, [a for a in foreign if installed(a)])


def sec_7(recording: Recording, alarm: AlarmProfile | None) -> tuple[float, ev.Details]:
    """As LOC-1, in a flood: enough foreign packets must arrive around the press."""
    value, details = loc_1(recording, alarm)
    pressed = next(e.t_ns for e in recording.named("action") if e.value["name"] == "local-stop")
    arrived = _foreign_arrivals(recording)["t_ns"]
    before = int(((arrived > pressed - _AROUND_NS) & (arrived <= pressed)).sum())
    after = int(((arrived > pressed) & (arrived <= pressed + _AROUND_NS)).sum())
    rate = min(before, after) / (_AROUND_NS / 1e9)
    if rate < FLOOD_PER_S:
        raise ev.Cannot(f"only {rate:.0f} foreign packets per s arrived around the press")
    return value, {**details, "flood_per_s": rate}
