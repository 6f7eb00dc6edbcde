"""The security layer of a device: between its state machine and the network, like (D)TLS.

Towards the bench it is the device's side, towards the state machine it is the port. Nothing leaves
before the association with the other side stands, and nothing that is not authentic and new
arrives at the state machine. The handshake travels in place of heartbeats of the control stream.
The patient's side is the server: it also admits further clients (:mod:`bench.devices.clients`).

A port that says of itself that it is ``intact`` hands over what was sent, bit for bit: a bench on
which nobody can touch a packet in this session. Tags are not computed there, as none could fail.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from bench.devices.alarms import AlarmSystem
from bench.devices.association import Association, Cue, Stage, tag_of
from bench.devices.audit import Audit
from bench.devices.certificates import (
    Authority,
    Credential,
    Trust,
    agree,
    authority,
    certificate_of,
    objection,
    public,
    sign,
    signed,
)
from bench.devices.ports import Endpoint, Message, Port, Send
from bench.devices.profile import DeviceProfile
from bench.network.scenario import Side
from bench.units import ns

CONTROL = "control"
ALARM = "network-intrusion"
REPORT_NS = 50_000_000
"""Refusals are counted for this long and then logged together: a flood must not fill the log."""
_MOST_KINDS = 64
_GRACE_NS = 500_000_000
"""After the service mode changed, packets of before it are on their way and no attack."""
_POINT_EVERY = 10
"""One command in so many is marked at the test point."""
_BUSY = 40
"""Refused packets from one report to the next that make a flood of them."""

_MADE = tuple.__new__  # half the time of a named tuple's own, and it is spent on every packet

OBSERVERS = 16
"""Further clients that the maker gave a certificate."""
REVOKED = 666
"""The serial number that the maker's authority has taken back."""


@dataclass(frozen=True, slots=True)
class SecurityTraits:
    """How a device's security behaves.

    ``skips``: checks that are left out (deliberate defects): those of
    :data:`~bench.devices.certificates.CHECKS`, ``certificate``, ``nonce``, ``connections``,
    ``tag``, ``clear``, ``window``, ``update``. ``clear``: streams that leave in clear. ``suite``:
    that is used whatever is declared. ``crypto_s``: what sealing and opening take each.
    ``logs``: whether refusals are logged. ``evicts``: a client too many throws another one out.
    ``stop_in_flood_s``: how much later the local controls act in a flood.
    """

    skips: frozenset[str] = frozenset()
    clear: frozenset[str] = frozenset()
    suite: str = ""
    crypto_s: float = 0.0
    logs: bool = True
    evicts: bool = False
    stop_in_flood_s: float = 0.0


def maker(profile: DeviceProfile) -> Authority:
    """The maker's own authority, which issues the certificates of its devices."""
    return authority(f"{profile.manufacturer} CA", profile.model)


def subject(profile: DeviceProfile, who: str) -> str:
    """What the certificate of a part of the device names."""
    return f"{who}.{profile.name}"


def credential(profile: DeviceProfile, who: str, serial: int) -> Credential:
    """A credential as the maker issues them: ``console``, ``device``, ``observer-3``."""
    return maker(profile).issue(subject(profile, who), serial)


def trust_of(profile: DeviceProfile) -> Trust:
    """Whom the device lets in."""
    people = ["console", "device", *(f"observer-{k}" for k in range(1, OBSERVERS + 1))]
    listed = frozenset(subject(profile, who) for who in people)
    return Trust(maker(profile).key, frozenset({REVOKED}), listed)


def hello(own: Credential, secret: int, nonce: int, link: int) -> dict[str, Any]:
    """What a client opens with; ``nonce`` only ever grows."""
    share = public(secret)
    proof = list(sign(own.secret, "hello", link, nonce, share))
    said = {"cert": own.certificate.plain(), "share": share, "nonce": nonce, "link": link}
    return {"hello": {**said, "proof": proof}}


def _stay(send: Send) -> None:
    """Of a state machine that always leaves by the layer."""


class SecurityLayer:
    """The part of one side's security that both sides share: sealing, opening, the handshake."""

    def __init__(
        self, profile: DeviceProfile, side: Side, traits: SecurityTraits, port: Port
    ) -> None:
        self.profile, self.side, self.traits, self.port = profile, side, traits, port
        self.trust = trust_of(profile)
        self.control = profile.stream(CONTROL).code
        self._client = side == "doctor"
        self._own = credential(profile, "console" if self._client else "device", 1 + self._client)
        self._expected = subject(profile, "device" if self._client else "console")
        self.operators = (Association(0), Association(1))
        self._packets = [s.packets for s in profile.streams]
        self._clear = frozenset(profile.stream(n).code for n in traits.clear if _has(profile, n))
        self._watched = profile.stream(profile.watched).code
        self._crypto_ns = ns(traits.crypto_s)
        self._sealing, self._pointing = True, False
        self._intact = bool(getattr(port, "intact", False))
        self._windowed = "window" not in traits.skips
        self._grace_ns = 0
        self._refused: dict[tuple[str, int], int] = {}
        self._reporting = False
        self._lately = self._busy = 0
        self._intruded_ns = -1
        self._clear_after_ns = ns(max(1.0, profile.limits.get("clear_after_s", 0.0)))
        self._nonces: dict[tuple[str, int], int] = {}
        self.at, self.actuate, self._out = port.at, port.actuate, port.send
        self.contact, self.signal, self.log = port.contact, port.signal, port.log
        self._leave_by: Callable[[Send], None] = _stay
        self._plainly()

    def attach(self, inner: Endpoint) -> None:
        """Give it the state machine that it protects."""
        self.inner, self._receive = inner, inner.receive
        self._leave_by = getattr(inner, "leave_by", _stay)

    def _plainly(self) -> None:
        """Whether a packet leaves by the short way."""
        self._short = self._sealing and not (self._pointing or self._crypto_ns or self._clear)
        self._direct = self._short and self._intact
        # Where nothing is left to do on the way out, the state machine calls the port itself.
        nothing = self._direct and all(p.stage is Stage.ESTABLISHED for p in self.operators)
        self._leave_by(self._out if nothing else self.send)

    @property
    def suite(self) -> str:
        """The suite that this device uses."""
        declared = next((s.suite for s in self.profile.streams if s.suite), "")
        return self.traits.suite or declared

    # ---- as an endpoint, towards the bench ----------------------------------------------------

    def start(self, now_ns: int) -> None:
        """Power on."""
        self.inner.start(now_ns)

    def operate(self, now_ns: int, action: str) -> None:
        """The service mode (``crypto:off``, ``test-point:on``); else it is the device's own."""
        name, _, state = action.partition(":")
        if name == "crypto":
            self._sealing, self._grace_ns = state == "on", now_ns + _GRACE_NS
        elif name == "test-point":
            self._pointing = state == "on"
        elif self.traits.stop_in_flood_s and max(self._busy, self._lately) > _BUSY:
            late_ns = now_ns + ns(self.traits.stop_in_flood_s)
            self.at(late_ns, lambda now: self.inner.operate(now, action))
        else:
            self.inner.operate(now_ns, action)
        self._plainly()

    def receive(self, now_ns: int, link: int, message: Message) -> None:
        """A packet arrived: it passes if it is authentic and new."""
        window = self.operators[link].windows.get(message[0])
        if self._direct and window is not None and message[1] == window.next and message[4] is None:
            window.next += 1  # the usual packet, by the short way
            self._receive(now_ns, link, message)
        else:
            self._open(now_ns, link, message)

    def _open(self, now_ns: int, link: int, message: Message) -> None:
        if not self._passes(now_ns, link, message, message[1]):
            return
        if self._crypto_ns and self._sealing:
            self.at(now_ns + self._crypto_ns, partial(self._hand_over, link, message))
        else:
            self.inner.receive(now_ns, link, message)

    def _hand_over(self, link: int, message: Message, now_ns: int) -> None:
        self.inner.receive(now_ns, link, message)

    def receive_burst(
        self, now_ns: int, link: int, message: Message, received: int, count: int
    ) -> None:
        """A burst arrived: all its packets carry one tag, over the number of the burst."""
        if self._passes(now_ns, link, message, message.seq // count):
            self.inner.receive_burst(now_ns, link, message, received, count)

    def _passes(self, now_ns: int, link: int, message: Message, number: int) -> bool:
        peer = self.operators[link]
        key = peer.receive_key
        untouched = self._direct and not message[5] and not _opens(message[4])
        if key and (untouched or tag_of(key, number, message) == message[5]):
            if peer.stage is not Stage.ESTABLISHED:
                peer.step(Cue.RECORD)
                self._plainly()
            if peer.fresh(number, message[0]) or not self._windowed:
                return True
            self.refuse(now_ns, "replayed", 0, alarming=False)
            return False
        early = not peer.receive_key  # sent before the handshake reached this side
        if not message.tag and not (early and untouched):
            return self._in_clear(now_ns, link, message)
        if early:
            return False
        if "tag" in self.traits.skips:
            return True
        self.refuse(now_ns, "altered", 0)
        return False

    def _in_clear(self, now_ns: int, link: int, message: Message) -> bool:
        body = message.body or {}
        if _opens(body):
            self._handshake(now_ns, link, message.peer, body)
            return False
        if not self._sealing or message.stream in self._clear or "clear" in self.traits.skips:
            return True
        self.refuse(now_ns, "in clear", message.peer)
        return False

    # ---- as a port, towards the state machine ---------------------------------------------------

    def send(self, now_ns: int, link: int, message: Message) -> None:
        """Seal a packet and send it; before the association stands, the handshake instead."""
        if self._direct and self.operators[link].stage is Stage.ESTABLISHED:
            self._out(now_ns, link, message)
        else:
            self._seal(now_ns, link, message)

    def _seal(self, now_ns: int, link: int, message: Message) -> None:
        peer = self.operators[link]
        if self._short and peer.stage is Stage.ESTABLISHED:
            self._out(now_ns, link, _sealed(peer.send_key, message[1], message))
        elif message.stream == self.control and peer.stage is not Stage.ESTABLISHED:
            body = self._opening(now_ns, peer)
            if body is not None:
                self.port.send(now_ns, link, message._replace(body=body))
        elif peer.send_key or not self._sealing:
            self._send_at_length(now_ns, link, message, peer)

    def _send_at_length(self, now_ns: int, link: int, message: Message, peer: Association) -> None:
        marked = self._pointing and self._client and message.stream == self._watched
        if marked and message.seq % _POINT_EVERY == 0:
            self.port.contact(now_ns, "test-point", {"seq": message.seq})
        if not self._sealing or message.stream in self._clear:
            self.port.send(now_ns, link, message)
            return
        message = _sealed(peer.send_key, message.seq, message)
        if self._crypto_ns:
            send = self.port.send
            self.at(now_ns + self._crypto_ns, lambda now: send(now, link, message))
        else:
            self.port.send(now_ns, link, message)

    def send_burst(self, now_ns: int, link: int, message: Message, count: int) -> None:
        """As :meth:`send`; what sealing takes is that of a packet, and small beside a burst."""
        peer = self.operators[link]
        if self._sealing and message.stream not in self._clear:
            if not peer.send_key:
                return
            if not self._direct:
                message = _sealed(peer.send_key, message.seq // count, message)
        self.port.send_burst(now_ns, link, message, count)

    def follow(self, now_ns: int, link: int) -> None:
        """As the port; the state machine only sees what is authentic."""
        self.port.follow(now_ns, link)

    # ---- the handshake --------------------------------------------------------------------------

    def _opening(self, now_ns: int, peer: Association) -> dict[str, Any] | None:
        """What this side says in place of a heartbeat while the association does not stand.

        A server that heard nothing says nothing.
        """
        if self._client and peer.handshake is None:
            peer.step(Cue.OFFER)
            peer.nonce = now_ns
            peer.handshake = hello(self._own, self._secret(peer), now_ns, peer.link)
        return peer.handshake

    def _secret(self, peer: Association) -> int:
        """What this side brings into the key agreement: new with every nonce."""
        return abs(hash((self._own.secret, peer.nonce, peer.link, peer.peer))) | 1

    def _handshake(self, now_ns: int, link: int, address: int, body: dict[str, Any]) -> None:
        raise NotImplementedError

    def certified(self, now_ns: int, said: dict[str, Any], *content: object) -> tuple[str, str]:
        """Who a peer is: its subject, and what stands against it (empty: nothing)."""
        skips = self.traits.skips
        certificate = certificate_of(said.get("cert"))
        if certificate is None:
            return "", "" if "certificate" in skips else "certificate"
        reason = objection(certificate, self.trust, now_ns / 1e9, skips)
        if not reason and not signed(certificate.key, said.get("proof"), *content):
            reason = "proof"
        return certificate.subject, reason

    # ---- what is refused ------------------------------------------------------------------------

    def refuse(self, now_ns: int, reason: str, address: int, *, alarming: bool = True) -> None:
        """Count a refusal for the log, and alarm."""
        if now_ns < self._grace_ns:
            return
        key = (reason, address) if len(self._refused) < _MOST_KINDS else ("more", -1)
        self._refused[key] = self._refused.get(key, 0) + 1
        self._lately += 1
        if not self._reporting:
            self._reporting = True
            self.at(now_ns + REPORT_NS, self._report)
        if not alarming:
            return
        if self._intruded_ns < 0:
            self._alarm(now_ns, True, reason)
            self.at(now_ns + self._clear_after_ns, self._look)
        self._intruded_ns = now_ns

    def _report(self, now_ns: int) -> None:
        self._reporting = False
        self._busy, self._lately = self._lately, 0
        if self.traits.logs:
            for (reason, address), count in self._refused.items():
                value = {"reason": reason, "peer": address, "count": count}
                self.record(now_ns, "refused", value)
        self._refused.clear()

    def _look(self, now_ns: int) -> None:
        """The alarm ends once nothing was refused for a while."""
        due = self._intruded_ns + self._clear_after_ns
        if now_ns < due:
            self.at(due, self._look)
            return
        self._intruded_ns = -1
        self._alarm(now_ns, False)

    def _alarm(self, now_ns: int, present: bool, reason: str | None = None) -> None:
        alarms: AlarmSystem | None = getattr(
            self.inner, "alarms", None
        )  # every DeviceSide has them
        if alarms is not None:
            alarms.update(now_ns, ALARM, present, reason)

    def record(self, now_ns: int, name: str, value: object) -> None:
        """Write to the log of the device that it protects, where that keeps one."""
        audit: Audit | None = getattr(self.inner, "audit", None)  # as every DeviceSide does
        log = self.log if audit is None else audit.port.log
        log(now_ns, name, value)


def _opens(body: dict[str, Any] | None) -> bool:
    """Whether this is of the handshake, which is in clear."""
    return body is not None and ("hello" in body or "welcome" in body)


def _sealed(key: int, number: int, message: Message) -> Message:
    stream, seq, sent_ns, value, body, _, peer = message
    tag = tag_of(key, number, message)
    return _MADE(Message, (stream, seq, sent_ns, value, body, tag, peer))


def _has(profile: DeviceProfile, name: str) -> bool:
    return any(s.name == name for s in profile.streams)


class ConsoleSecurity(SecurityLayer):
    """The doctor's side: the client. It makes sure that it talks to the device itself."""

    def _handshake(self, now_ns: int, link: int, address: int, body: dict[str, Any]) -> None:
        peer, said = self.operators[link], body.get("welcome")
        if not isinstance(said, dict):
            self.refuse(now_ns, "hello", address)
            return
        share, suite = said.get("share"), said.get("suite")
        content = ("welcome", link, said.get("nonce"), share, suite)
        name, reason = self.certified(now_ns, said, *content)
        if not reason and name != self._expected and "certificate" not in self.traits.skips:
            reason = "whitelist"
        if reason or not isinstance(share, int):
            self.refuse(now_ns, reason or "share", address)
        elif said.get("nonce") == peer.nonce and peer.step(Cue.WELCOME):
            peer.take_keys(agree(self._secret(peer), share), peer.nonce, client=True)
            peer.subject = name
            self._plainly()
            self.record(now_ns, "session", {"peer": 0, "link": link, "subject": name, "up": True})
