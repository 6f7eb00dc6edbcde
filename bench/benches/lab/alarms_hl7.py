"""A device's alarms as HL7 v2 over MLLP: ``ORU^R40`` of IHE PCD-04 (ACM), one or more in a message.

What counts of an alert: the event (OBX of MDC_EVT_ALARM, its value), its priority (OBX-8 there:
PH, PM, PL), the phase and the state of the alarm (IHE PCD TF-2, Report Alert, facets). An alert is
on unless its phase is ``end`` or its state ``inactive`` or ``off``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from bench.devices.hl7.codes import ALARM, PHASE, PRIORITIES, STATE
from bench.devices.hl7.messages import acknowledge
from bench.devices.hl7.mllp import Frames, frame
from bench.devices.hl7.segments import components, read
from bench.devices.hl7.segments import field as part

_KIND = "ORU^R40"
_WORDS = {flag: word for word, flag in PRIORITIES.items()}
_PHASES = {"start", "continue", "present", "update", "escalate", "deescalate", "reset", "end"}
_STATES = {"active", "latched", "inactive", "off"}
_OVER = {"end", "inactive", "off"}


@dataclass
class _Alert:
    name: str
    priority: str
    said: list[str] = field(default_factory=list)


def alerts_in(payload: bytes, names: Mapping[str, str]) -> list[dict[str, Any]]:
    """The alerts of a message: ``alarm``, ``priority`` and whether it is ``on``.

    Args:
        payload: unframed.
        names: the device profile's names, by the code or the reference identifier of the event;
            an event that is not among them goes under its own identifier.

    Raises:
        ValueError: it is no such message, or does not say what is asked for here.
    """
    segments = read(payload)
    if not part(segments[0], 9).startswith(_KIND):
        raise ValueError(f"HL7: {part(segments[0], 9)!r} is no {_KIND}")
    alerts: list[_Alert] = []
    for segment in segments:
        if segment[0] != "OBX":
            continue
        what = components(part(segment, 3))[0]
        if what == str(ALARM.code):
            alerts.append(_alert(segment, names))
        elif what in (str(PHASE.code), str(STATE.code)) and alerts:
            known = _PHASES if what == str(PHASE.code) else _STATES
            alerts[-1].said.append(_known(part(segment, 5), known))
    if not alerts:
        raise ValueError(f"HL7: no OBX of {ALARM.refid}")
    return [_told(alert) for alert in alerts]


def _alert(segment: list[str], names: Mapping[str, str]) -> _Alert:
    code, identifier = [*components(part(segment, 5)), ""][:2]
    flags = part(segment, 8).split("~")
    found = [_WORDS[flag] for flag in flags if flag in _WORDS]
    if not code or len(found) != 1:
        raise ValueError(f"HL7: an alert without event or priority: {'|'.join(segment)[:80]}")
    return _Alert(names.get(code) or names.get(identifier) or identifier or code, found[0])


def _known(word: str, known: set[str]) -> str:
    if word not in known:
        raise ValueError(f"HL7: {word!r} is none of {', '.join(sorted(known))}")
    return word


def _told(alert: _Alert) -> dict[str, Any]:
    if not alert.said:
        raise ValueError(f"HL7: neither phase nor state of {alert.name}")
    on = not _OVER & set(alert.said)
    return {"alarm": alert.name, "priority": alert.priority, "on": on}


class Hl7Reader:
    """Cuts a connection's bytes into alerts; every message is acknowledged.

    Args:
        names: as :func:`alerts_in` takes them.
    """

    def __init__(self, names: Mapping[str, str]) -> None:
        self._names, self._frames = names, Frames()

    def feed(self, data: bytes) -> Iterator[tuple[dict[str, Any] | str, bytes]]:
        """Alerts, or why a message cannot be read; each with the answer to send, once a message.

        Raises:
            ValueError: what comes is no MLLP: the connection is of no use any more.
        """
        for payload in self._frames.feed(data):
            try:
                alerts = alerts_in(payload, self._names)
            except ValueError as error:
                yield str(error), _answer(payload, str(error))
                continue
            answer = _answer(payload, "")
            for alert in alerts:
                yield alert, answer
                answer = b""


def _answer(payload: bytes, error: str) -> bytes:
    try:
        return frame(acknowledge(payload, error=error))
    except ValueError:
        return b""  # without a header there is nobody to answer to
