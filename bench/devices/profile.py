"""Device profiles: what the manufacturer declares about a device, as frozen data.

A profile is a TOML file: identity, streams, limits on which the device acts, alarms, and what it
declares (the ``D:`` of every requirement). Unknown keys are errors; quantities are text with
units.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from typing import Any, Literal

from bench.devices.carriages import PLAIN
from bench.errors import InputError
from bench.network.impairment import Direction
from bench.network.radio.exposure import Exposure, Radio
from bench.network.scenario import Side

Priority = Literal["high", "medium", "low"]
"""Alarm priorities of IEC 60601-1-8:2006+A1+A2, clause 6.1.2."""

FUNCTIONS: Mapping[str, str] = {
    "motion": "moves a part on remote command, with contacts for motion and brake",
    "standby-link": "has a second network to switch to",
    "local-takeover": "can be taken over beside the patient",
    "picture": "shows live pictures of the patient's side, with a sign that they are live",
    "network-display": "displays delay, loss and jitter of its network",
    "touch": "carries touch both ways, and so holds its network to a delay of about 10 ms",
    "priorities": "protects its streams in a declared order when the rate falls",
    "dual-video": "carries two videos and sound both ways",
    "play-out": "presents voice, video and ultrasound in step",
    "records": "keeps records of what it measures, and hands them to a station",
    "minute-sets": "reports a set of measurements each minute, and alarms of its patient at once",
    "bedside-gateway": "joins five devices of one patient",
    "audit-log": "keeps an audit log that can be read out, with its own clock",
    "planned-motion": "moves only along a plan sent before, while somebody stands by",
    "secure-channel": "authenticates its peers and protects its streams",
    "clients": "takes further remote connections beside its operator",
    "updates": "takes software updates over the network",
    "service-mode": "runs without encryption when asked, with a test point on its commands",
    "image-transfer": "sends image sets to the other side",
    "backup": "keeps a backup of its records, and restores it",
    "access-5g": "reaches the network by 5G",
    "access-4g": "reaches the network by 4G",
    "access-gateway": "reaches the network through a gateway",
    "access-wifi": "reaches the network by Wi-Fi",
    "access-wired": "reaches the network by wire",
    "mobile": "is used on the move",
    "radio": "has a radio whose link, channel and surroundings its maker declares",
}
"""What a device may be able to do, as far as tests need it: by name, in words."""

HEADERS_BYTES = 14 + 20 + 8
"""Ethernet, IPv4 and UDP headers in front of a payload, as a tap captures them."""


@dataclass(frozen=True, slots=True)
class Wire:
    """How the packets of a real device's stream are told from others, and numbered.

    ``starts_with``: the first bytes of the payload as hexadecimal digits, at most 8 bytes.
    ``number_offset``: byte of the payload at which the application's own number starts, None
    where it has none; ``number_bytes`` long, in ``number_order``.
    """

    protocol: Literal["udp", "tcp"] = "udp"
    starts_with: str = ""
    number_offset: int | None = None
    number_bytes: int = 4
    number_order: Literal["network", "little"] = "network"


@dataclass(frozen=True, slots=True)
class Service:
    """What is presented of a stream, and what its maker promises of it.

    ``presents``: what the other side shows or plays of it. ``priority``: its place in the order in
    which streams are protected, 1 first; 0: none is declared.
    """

    presents: Literal["", "picture", "sound"] = ""
    priority: int = 0


NO_SERVICE = Service()


@dataclass(frozen=True, slots=True)
class Stream:
    """One flow of a device.

    ``kind`` names the stream class of the requirement catalogue (``video-2d``, ``force`` …);
    a stream may serve several. ``option`` names the option that switches it on, empty if always.
    ``payload_bytes`` is one packet's UDP payload; ``packets`` of them leave together every
    ``period_s`` (a video frame). ``code`` is the stream's index in recordings and on the wire.
    ``wire``: what a real device's packets look like; a simulated one's are the bench's own.
    ``slices``: a picture leaves as so many bursts, one each ``period_s``.
    ``carriage``: how a simulated one's travel on real networks (:mod:`bench.devices.carriages`).
    ``service``: what is presented and promised of it.
    ``suite``: the cipher suite that the maker lists for this class of data; empty for none.
    ``most_delay_s``, ``most_loss``: what the stream needs of any network that the device is used
    on: the 99th percentile of the one-way delay, and the ratio of lost packets; ``None`` where the
    maker states none.
    """

    name: str
    title: str
    code: int
    source: Side
    port: int
    kinds: tuple[str, ...]
    payload_bytes: int
    period_s: float
    packets: int = 1
    option: str = ""
    wire: Wire | None = None
    service: Service | None = None
    suite: str = ""
    most_delay_s: float | None = None
    most_loss: float | None = None
    carriage: str = PLAIN
    slices: int = 1

    @property
    def served(self) -> Service:
        """Its service; one that promises nothing where the profile says nothing."""
        return self.service or NO_SERVICE

    @property
    def direction(self) -> Direction:
        """Where its packets go."""
        return "to-patient" if self.source == "doctor" else "to-doctor"

    @property
    def rate_bps(self) -> float:
        """Nominal rate of the payload in bit/s, headers not counted."""
        return self.payload_bytes * self.packets * 8 / self.period_s

    @property
    def packets_per_s(self) -> float:
        """Nominal packet rate."""
        return self.packets / self.period_s

    @property
    def frame_bytes(self) -> int:
        """Bytes of one packet as a tap captures it."""
        return self.payload_bytes + HEADERS_BYTES


@dataclass(frozen=True, slots=True)
class AlarmProfile:
    """One declared alarm condition (IEC 60601-1-8: the two delays are declared apart).

    ``condition_delay_s``: from the event to the alarm condition. ``signal_delay_s``: from the
    condition to the signal.
    """

    name: str
    title: str
    priority: Priority
    condition_delay_s: float
    signal_delay_s: float

    @property
    def within_s(self) -> float:
        """From the event to the signal."""
        return self.condition_delay_s + self.signal_delay_s


@dataclass(frozen=True, slots=True)
class Declaration:
    """A report that the manufacturer names for what no test on this bench can show.

    ``date``, ``expires``: ISO 8601 days; ``expires`` empty where it does not.
    """

    report: str
    laboratory: str
    date: str
    expires: str = ""


@dataclass(frozen=True, slots=True)
class Coexistence:
    """What a device bears of other radios, as its maker declares it.

    ``recovery_s``: its performance is back so long after an interferer has gone, at the latest.
    ``environment``: the largest interference that is expected where it is used, signal by signal,
    at its antenna port.
    """

    recovery_s: float
    environment: tuple[Exposure, ...]


@dataclass(frozen=True)
class DeviceProfile:
    """A device as its manufacturer describes it.

    ``machine`` names the simulated device's state machines, empty for a real device.
    ``functions``: of :data:`FUNCTIONS`, what the device does; a test that needs another does not
    apply to it. ``without``: of them, what its maker says in so many words that it does not do.
    ``watched``: the stream towards the patient by which the device judges its network,
    and the bench when a fault began.
    ``limits``: thresholds on which the device acts, SI. ``declares``: promises (``D:x``), SI.
    ``declarations``: reports by requirement (``EMC-1``).
    ``defects``: deliberate defects and their sizes, for proving that the bench can fail a device.
    ``radio``, ``coexistence``: of a device with the function ``radio``.
    """

    name: str
    title: str
    device_class: str
    manufacturer: str
    model: str
    version: str
    machine: str
    streams: tuple[Stream, ...]
    limits: Mapping[str, float]
    alarms: tuple[AlarmProfile, ...]
    declares: Mapping[str, float]
    functions: tuple[str, ...] = ()
    without: tuple[str, ...] = ()
    watched: str = ""
    options: tuple[str, ...] = ()
    defects: Mapping[str, float] | None = None
    declarations: Mapping[str, Declaration] = field(default_factory=dict)
    radio: Radio | None = None
    coexistence: Coexistence | None = None

    @property
    def simulated(self) -> bool:
        """True where the bench plays the device itself."""
        return bool(self.machine)

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 of everything in the profile."""
        data = asdict(self)
        without_radio(data)
        for stream in data["streams"]:
            without_unstated(stream)
        text = json.dumps(data, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()

    @property
    def active_streams(self) -> tuple[Stream, ...]:
        """The streams that run: ``"a"`` wants the option, ``"!a"`` its absence."""
        return tuple(s for s in self.streams if _wanted(s.option, self.options))

    @property
    def known_options(self) -> tuple[str, ...]:
        """The options that streams refer to."""
        return tuple(sorted({s.option.lstrip("!") for s in self.streams if s.option}))

    def stream(self, name: str) -> Stream:
        """The stream of that name.

        Raises:
            InputError: the device has none.
        """
        for stream in self.streams:
            if stream.name == name:
                return stream
        raise InputError(
            "the device has no such stream",
            remedy=f"use one of {', '.join(s.name for s in self.streams)}",
            field="stream",
            value=name,
        )

    def alarm(self, name: str) -> AlarmProfile | None:
        """The declared alarm of that name, or none."""
        return next((a for a in self.alarms if a.name == name), None)

    def with_options(self, options: tuple[str, ...]) -> DeviceProfile:
        """The same device with some options switched on.

        Raises:
            InputError: no stream knows the option.
        """
        known = self.known_options
        for option in options:
            if option not in known:
                raise InputError(
                    "unknown option",
                    remedy=f"use one of {', '.join(known) or '(none)'}",
                    field="--option",
                    value=option,
                )
        return replace(self, options=tuple(sorted(set(options))))

    def with_defects(self, defects: Mapping[str, float]) -> DeviceProfile:
        """The same device with deliberate defects, name to size."""
        return replace(self, defects=dict(sorted(defects.items())) or None)


def without_radio(device: dict[str, Any]) -> None:
    """Take the tables of a radio that is not declared out of a device's data, as below."""
    for key in ("radio", "coexistence"):
        if device[key] is None:
            del device[key]


_UNSTATED: Mapping[str, object] = {
    "most_delay_s": None, "most_loss": None, "carriage": PLAIN, "slices": 1,
}  # fmt: skip


def without_unstated(stream: dict[str, Any]) -> None:
    """Take what a stream's maker does not state, and what is usual, out of its data.

    Sessions and runs stored before they could be stated keep their names and hashes.
    """
    for key, unstated in _UNSTATED.items():
        if stream[key] == unstated:
            del stream[key]


def _wanted(option: str, options: tuple[str, ...]) -> bool:
    if not option:
        return True
    if option.startswith("!"):
        return option[1:] not in options
    return option in options
