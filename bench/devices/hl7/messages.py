"""A monitor's :class:`~bench.devices.ports.Message` as HL7 v2.6 and back, and acknowledgements.

| what the device sends | where it stands |
|---|---|
| stream, number, time in ns | MSH-10, the message control id: ``3.120.4000000000`` |
| the time | MSH-7, to a tenth of a millisecond |
| the security tag | MSH-8 |
| a record's source and serial number | OBR-3; its kind: OBR-13; when it was measured: OBR-7 |
| measured values | one OBX each |
| the alarms that are on | one OBX with the event and two of its facets each |
| number, checksum and time in ns of a record | OBX of the local coding system |

Times count from the session's start, which stands as the first second of 1970.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from bench.devices.hl7 import codes
from bench.devices.hl7.codes import FIELDS, LOCAL, MDC, Coded
from bench.devices.hl7.segments import (
    HEAD,
    components,
    escape,
    field,
    message_text,
    read,
    time_text,
    unescape,
)
from bench.devices.ports import Message

VERSION = "2.6"
_SET = ("ORU^R01^ORU_R01", "IHE_PCD_001^IHE PCD^1.3.6.1.4.1.19376.1.6.1.1.1^ISO")
_ALARM = ("ORU^R40^ORU_R40", "IHE_PCD_ACM_001^IHE PCD^1.3.6.1.4.1.19376.1.6.4.4^ISO")
_RECORD = ("n", "sum", "source", "serial", "values", "kind", "at_ns")
_PATIENT = ["PID", "", "", "SIMULATED^^^TELEMED-BENCH^PI", "", "^^^^^^U"]
_BODY, _VALUE = "body", "value"
_OWN = {"n": "NM", "sum": "ST", "at_ns": "NM"}


class Ack(NamedTuple):
    """An acknowledgement: ``code`` of HL7 table 0008, ``AA`` for accepted; of which message."""

    code: str
    control_id: str


def encode(message: Message, priorities: Mapping[str, str] | None = None) -> bytes:
    """A message as HL7, unframed.

    Args:
        message: any; what is neither a record nor the list of alarms stands as JSON in one OBX.
        priorities: by alarm, ``high``, ``medium`` or ``low``; of others none is told.

    Raises:
        ValueError: HL7 has no such time.
    """
    body = message.body
    alarms = _alarms_in(body)
    kind, profile = _ALARM if alarms is not None else _SET
    lines: list[tuple[str, str, str, str, str]] = []
    request = ["OBR", "1"]
    value = 0
    if alarms is not None:
        request += ["", "", _code(codes.ALARM)]
        lines, value = list(_alarm_lines(alarms, priorities or {})), len(alarms)
    elif body is not None and _is_record(body):
        request += ["", f"{body['serial']}^{escape(body['source'])}", codes.MONITORING, "", ""]
        request += [time_text(body["at_ns"]), "", "", "", "", "", escape(body["kind"])]
        lines = [_measured(name, measured) for name, measured in body["values"].items()]
        lines += [_own(name, str(body[name]), as_type) for name, as_type in _OWN.items()]
    else:
        request += ["", "", codes.MONITORING]
        if body is not None:
            lines = [_own(_BODY, json.dumps(body), "TX")]
    if message.value != value:
        lines.append(_own(_VALUE, str(message.value), "NM"))
    observations = [
        ["OBX", str(number), as_type, code, f"1.0.0.{number}", said, units, "", "", "", "", "F"]
        for number, (as_type, code, said, units, _) in enumerate(lines, 1)
    ]
    for line, (*_, flags) in zip(observations, lines, strict=True):
        line[8] = flags
    return message_text(_header(message, kind, profile), _PATIENT, request, *observations)


def decode(payload: bytes) -> Message:
    """The message in HL7 of ours, unframed.

    Raises:
        ValueError: not such a message; says which segment or field is wrong.
    """
    segments = read(payload)
    header = segments[0]
    stream, seq, sent_ns = _control_id(field(header, 10))
    if field(header, 7) != time_text(sent_ns):
        raise ValueError("HL7: MSH-7 is not the time of MSH-10")
    if field(header, 12) != VERSION:
        raise ValueError(f"HL7: MSH-12 is {field(header, 12)!r}, not {VERSION}")
    kind = field(header, 9)
    requests = [segment for segment in segments if segment[0] == "OBR"]
    if kind not in (_SET[0], _ALARM[0]) or len(requests) != 1:
        raise ValueError(f"HL7: no ORU^R01 or ORU^R40 with one OBR: {kind!r}")
    observations = [segment for segment in segments if segment[0] == "OBX"]
    tag = _whole(field(header, 8) or "0", "MSH-8")
    own: dict[str, str] = {}
    rest = []
    for observation in observations:
        code = components(field(observation, 3))
        if len(code) == 3 and code[2] == FIELDS:
            own[code[0]] = unescape(field(observation, 5))
        else:
            rest.append(observation)
    body: dict[str, Any] | None
    if kind == _ALARM[0]:
        body = {"on": _alarms(rest)}
    elif _BODY in own:
        body = _parsed(own[_BODY])
    elif _OWN.keys() <= own.keys():
        body = _record(requests[0], rest, own)
    else:
        body = None
    default = len(body["on"]) if kind == _ALARM[0] and body is not None else 0
    value = _whole(own[_VALUE], "value") if _VALUE in own else default
    return Message(stream, seq, sent_ns, value, body, tag)


def control_id(message: Message) -> str:
    """MSH-10: what no other message of a device has."""
    return f"{message.stream}.{message.seq}.{message.sent_ns}"


def acknowledge(payload: bytes, *, error: str = "") -> bytes:
    """The answer to a message: ``AA``, or ``AE`` with what is wrong with it.

    Raises:
        ValueError: it has no header that could be answered.
    """
    header = read(payload)[0]
    asked = field(header, 10)
    event = [*field(header, 9).split("^"), ""][1]
    names = [field(header, number) for number in (5, 6, 3, 4)]
    head = ["MSH", "^~\\&", *names, field(header, 7), "", f"ACK^{event}^ACK", f"A{asked}", "T"]
    answer = ["MSA", "AE" if error else "AA", asked]
    segments = [[*head, VERSION], answer]
    if error:
        segments.append(["ERR", "", "", "207^Application internal error^HL70357", "E"])
        segments[-1] += ["", "", "", escape(error)]
    return message_text(*segments)


def read_ack(payload: bytes) -> Ack:
    """What an acknowledgement says.

    Raises:
        ValueError: it is none.
    """
    for segment in read(payload)[1:]:
        if segment[0] == "MSA":
            return Ack(field(segment, 1), field(segment, 2))
    raise ValueError("HL7: an acknowledgement without MSA")


def _header(message: Message, kind: str, profile: str) -> list[str]:
    tag = str(message.tag) if message.tag else ""
    names = ["MONITOR", "PATIENT SIDE", "STATION", "DOCTOR SIDE"]
    head = ["MSH", HEAD[4:-1], *names, time_text(message.sent_ns), tag, kind]
    head += [control_id(message), "T", VERSION, "", "", "", "", "", "UNICODE UTF-8", "", ""]
    return [*head, profile]


def _code(coded: Coded) -> str:
    return f"{coded.code}^{coded.refid}^{MDC}"


def _named(name: str, known: Mapping[str, Coded]) -> str:
    """The standard code with the device's own name beside it, or the own name alone."""
    if name in known:
        return f"{_code(known[name])}^{escape(name)}^^{LOCAL}"
    return f"{escape(name)}^{escape(name)}^{LOCAL}"


def _own_name(text: str) -> str:
    parts = components(text)
    if len(parts) == 6 and parts[5] == LOCAL:
        return parts[3]
    if len(parts) == 3 and parts[2] == LOCAL:
        return parts[0]
    raise ValueError(f"HL7: no name of the device's own in {text!r}")


def _own(name: str, said: str, as_type: str) -> tuple[str, str, str, str, str]:
    return as_type, f"{name}^{name}^{FIELDS}", escape(said), "", ""


def _measured(name: str, measured: int) -> tuple[str, str, str, str, str]:
    units = codes.UNITS.get(name, "")
    units = f"{units}^{units}^UCUM" if units else ""
    return "NM", _named(name, codes.PARAMETERS), str(measured), units, ""


def _alarm_lines(
    alarms: list[str], priorities: Mapping[str, str]
) -> Iterable[tuple[str, str, str, str, str]]:
    for name in alarms:
        flags = [codes.PRIORITIES[priorities[name]]] if name in priorities else []
        yield "CWE", _code(codes.ALARM), _named(name, codes.EVENTS), "", "~".join([*flags, "SP"])
        yield "ST", _code(codes.PHASE), "present", "", ""
        yield "ST", _code(codes.STATE), "active", "", ""
    if not alarms:
        yield "ST", _code(codes.STATE), "inactive", "", ""


def _alarms(observations: list[list[str]]) -> list[str]:
    event = _code(codes.ALARM)
    return [_own_name(field(line, 5)) for line in observations if field(line, 3) == event]


def _alarms_in(body: Mapping[str, Any] | None) -> list[str] | None:
    if body is None or tuple(body) != ("on",) or not isinstance(body["on"], list):
        return None
    return body["on"] if all(isinstance(name, str) for name in body["on"]) else None


def _is_record(body: Mapping[str, Any]) -> bool:
    if tuple(body) != _RECORD or not isinstance(body["values"], dict):
        return False
    numbers = (body["n"], body["serial"], body["at_ns"], *body["values"].values())
    texts = (body["sum"], body["source"], body["kind"])
    whole = all(type(number) is int for number in numbers)
    return whole and all(isinstance(text, str) for text in texts)


def _record(
    request: list[str], observations: list[list[str]], own: Mapping[str, str]
) -> dict[str, Any]:
    values = {_own_name(field(line, 3)): _whole(field(line, 5), "OBX-5") for line in observations}
    number = components(field(request, 3))
    if len(number) != 2:
        raise ValueError("HL7: OBR-3 is not a serial number and its source")
    return {
        "n": _whole(own["n"], "the record's number"),
        "sum": own["sum"],
        "source": number[1],
        "serial": _whole(number[0], "OBR-3"),
        "values": values,
        "kind": unescape(field(request, 13)),
        "at_ns": _whole(own["at_ns"], "the record's time"),
    }


def _control_id(text: str) -> tuple[int, int, int]:
    parts = text.split(".")
    if len(parts) != 3 or not all(part.isascii() and part.isdigit() for part in parts):
        raise ValueError(f"HL7: MSH-10 is not stream.number.time: {text!r}")
    stream, seq, sent_ns = (_whole(part, "MSH-10") for part in parts)
    return stream, seq, sent_ns


def _whole(text: str, place: str) -> int:
    digits = text.removeprefix("-")
    if not (digits.isascii() and digits.isdigit() and len(digits) <= 20):
        raise ValueError(f"HL7: {place} is not a whole number: {text[:40]!r}")
    return int(text)


def _parsed(text: str) -> dict[str, Any]:
    body = json.loads(text)
    if not isinstance(body, dict):
        raise ValueError("HL7: the body is not an object")
    return body
