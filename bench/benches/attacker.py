"""Attackers and further clients, sans-I/O: what they send, see and are answered.

They are no part of the device. On the path they see every packet with what is readable of it, and
may alter, hold or copy it; off the path they send packets of their own. Secrets of the device are
not theirs: they hold their own credentials, and those that the bench gives a lawful client.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Protocol

from bench.benches.eavesdropper import Eavesdropper
from bench.devices.association import Association, Cue, tag_of, visible
from bench.devices.certificates import Credential, agree, authority, public, sign
from bench.devices.clients import update_content
from bench.devices.ports import Message
from bench.devices.profile import DeviceProfile
from bench.devices.security import CONTROL, REVOKED, hello, maker, subject
from bench.network.attacks import Attack
from bench.network.impairment import DIRECTIONS
from bench.network.seeds import generator
from bench.units import ns

THIRD_PARTY = (
    "packets of further clients and attackers crossed the links: they are on the tap third-party "
    "and in the counters"
)
"""What the health of a session with attackers says."""
HOLD_NS = 3_000_000
"""How long a packet is held back so that later ones overtake it."""
LAGS_NS = (100_000, 20_000_000, 400_000_000)
"""How long after a packet its copies come, in turn."""
ANSWER_NS = 400_000_000
"""An attempt that is not answered for so long was not answered."""
KEEPALIVE_NS = 20_000_000
_GATEWAY = 0x0A0000FE
"""What a false gateway announces: 10.0.0.254."""
_LIE_UM = 50_000
"""A position that no operator asks for."""
_AHEAD = (2, 8, 32, 128)
"""So many packets ahead of its flow is a command that nobody gave, in turn."""
_FIRST_ADDRESS = 101
_FLOODER = 9000
_DAY_S = 86400.0


class AttackPort(Protocol):
    """The only way out of an attacker."""

    def at(self, t_ns: int, call: Callable[[int], None]) -> None:
        """Call ``call(now_ns)`` once at ``t_ns``."""

    def inject(self, now_ns: int, link: int, way: int, message: Message) -> None:
        """Put a packet on a link, in the direction of that index."""

    def note(self, now_ns: int, name: str, value: Any) -> None:
        """Tell the recording what was done, and what came of it."""


@dataclass(slots=True)
class _OnPath:
    """An attack on passing packets that still has some to do."""

    attack: Attack
    due_ns: int
    left: int


@dataclass(slots=True)
class Client:
    """A further client: lawful or not, it wants in, and keeps count of what it gets."""

    attack: Attack
    own: Credential | None
    association: Association
    secret: int
    opening: dict[str, Any]
    since_ns: int
    answer: str = "none"
    first: int = -1
    last: int = -1
    received: int = 0
    last_ns: int = -1
    longest_gap_ns: int = 0
    delay_max_ns: int = 0
    updates: list[dict[str, Any]] = field(default_factory=list)


class Attacker:
    """Everybody on the network who is neither side of the device.

    Args:
        profile: the device.
        links: names of the links, by index.
        port: the way out.
        seed: of all draws.
    """

    def __init__(
        self, profile: DeviceProfile, links: tuple[str, ...], port: AttackPort, seed: int
    ) -> None:
        self._profile, self._links, self._port = profile, links, port
        self._rng = generator(seed, "attacker")
        self._control = profile.stream(CONTROL).code
        self._jobs: list[_OnPath] = []
        self._last: dict[tuple[int, int], Message] = {}
        # What can be repeated: the operator's opening, else (where it is enciphered) a client's.
        self._heard_hello: dict[str, Any] | None = None
        self._lawful_hello: dict[str, Any] | None = None
        self._clients: dict[int, Client] = {}
        self._address = _FIRST_ADDRESS
        self._observer = 0
        self._rogue: tuple[Credential, int, Association] | None = None
        self._done = {"flip": 0, "replay": 0, "reorder": 0}
        self.eavesdropper = Eavesdropper(profile)

    # ---- what the bench tells --------------------------------------------------------------

    def begin(self, now_ns: int, attack: Attack) -> None:
        """The scenario asks for an attack."""
        self._port.note(
            now_ns, "attack-begins",
            {"kind": attack.kind, "as": attack.detail, "link": attack.link, "way": attack.way,
             "count": attack.count, "rate_per_s": attack.rate_per_s},
        )  # fmt: skip
        if attack.kind in self._done:
            self._jobs.append(_OnPath(attack, now_ns, attack.count))
        elif attack.kind == "listen":
            self._port.at(now_ns + ns(attack.seconds), self._report_listening)
        else:
            act = {
                "inject": self._inject,
                "connect": self._connect,
                "update": self._connect,
                "flood": self._flood,
                "rogue": self._intercept,
            }[attack.kind]
            step_ns = ns(1 / attack.rate_per_s)
            self._each(attack, act, step_ns, 0, now_ns)

    def _each(
        self, attack: Attack, act: Callable[[Attack, int, int], None], step_ns: int, number: int,
        now_ns: int,
    ) -> None:  # fmt: skip
        act(attack, number, now_ns)
        if number + 1 < attack.count:
            due = now_ns + step_ns
            self._port.at(due, partial(self._each, attack, act, step_ns, number + 1))
        elif attack.kind == "flood":
            self._port.note(now_ns, "flood-ends", {"sent": attack.count})

    def passing(
        self, now_ns: int, link: int, way: int, message: Message, count: int = 1
    ) -> tuple[Message, int] | None:
        """A packet of the device's passes.

        Returns:
            What goes on in its place and for how long it is held (ns); ``None``: it passes.
        """
        self.overhear(now_ns, link, way, message, count)
        for job in self._jobs:
            attack = job.attack
            if (
                now_ns >= job.due_ns
                and job.left
                and self._code(attack) == message.stream
                and (self._links[link], DIRECTIONS[way]) == (attack.link, attack.way)
            ):
                job.left -= 1
                job.due_ns = now_ns + ns(1 / attack.rate_per_s)
                return self._act_on(now_ns, link, way, attack, message)
        return None

    def overhear(self, now_ns: int, link: int, way: int, message: Message, count: int = 1) -> None:
        """A packet of the device's has passed: nothing more can be done to it."""
        self.eavesdropper.packet(way, message, count)
        if visible(message) and message.body is not None:
            self._handshake_seen(now_ns, link, way, message.body)
        self._last[way, message.stream] = message

    def awaited(self) -> dict[tuple[int, int, int], int]:
        """Which packets would be acted on: by link, direction and stream, from which time on."""
        found: dict[tuple[int, int, int], int] = {}
        for job in self._jobs:
            if job.left:
                attack = job.attack
                way = DIRECTIONS.index(attack.way)
                flow = self._links.index(attack.link), way, self._code(attack)
                found[flow] = min(job.due_ns, found.get(flow, job.due_ns))
        return found

    def receive(self, now_ns: int, link: int, message: Message) -> None:
        """A packet for one of these addresses arrived."""
        client = self._clients.get(message.peer)
        body = message.body or {}
        if client is None:
            return
        if "refused" in body and not message.tag:
            client.answer = "refusal"
        elif "welcome" in body and not message.tag:
            self._welcomed(now_ns, client, body["welcome"])
        elif client.association.authentic(message.seq, message):
            self._served(now_ns, client, message)

    # ---- on the path ------------------------------------------------------------------------

    def _code(self, attack: Attack) -> int:
        return self._profile.stream(attack.stream or self._profile.watched).code

    def _act_on(
        self, now_ns: int, link: int, way: int, attack: Attack, message: Message
    ) -> tuple[Message, int] | None:
        number = self._done[attack.kind]
        self._done[attack.kind] += 1
        self._say(now_ns, attack.kind, link, way, message)
        if attack.kind == "flip":
            bit = 1 << int(self._rng.integers(0, 12))
            body = None if message.body is None else {**message.body, "flipped": bit}
            return message._replace(value=message.value ^ bit, body=body), 0
        if attack.kind == "reorder":
            return message, HOLD_NS
        other = link if number % 4 != 3 else (link + 1) % len(self._links)
        send = partial(self._copy, other, way, message)
        self._port.at(now_ns + LAGS_NS[number % len(LAGS_NS)], send)
        return None

    def _copy(self, link: int, way: int, message: Message, now_ns: int) -> None:
        self._port.inject(now_ns, link, way, message)

    def _say(self, now_ns: int, kind: str, link: int, way: int, message: Message) -> None:
        value = {"kind": kind, "stream": message.stream, "seq": message.seq}
        self._port.note(now_ns, "attack", {**value, "link": link, "way": DIRECTIONS[way]})

    # ---- packets made up --------------------------------------------------------------------

    def _inject(self, attack: Attack, number: int, now_ns: int) -> None:
        """A command that nobody gave: unsealed, with a made-up tag, with a stolen one, in turn."""
        link, way, code = self._place(attack)
        before = self._last.get((way, code))
        seq = _ahead(before, number // 3)
        tags = (0, int(self._rng.integers(1, 1 << 62)), before.tag if before is not None else 1)
        message = Message(code, seq, now_ns, _LIE_UM + number, None, tags[number % 3])
        self._say(now_ns, "inject", link, way, message)
        self._port.inject(now_ns, link, way, message)

    def _flood(self, attack: Attack, number: int, now_ns: int) -> None:
        link, way, code = self._place(attack)
        peer = _FLOODER if number % 2 else 0
        tag = int(self._rng.integers(1, 1 << 62))
        self._port.inject(
            now_ns, link, way, Message(code, number, now_ns, _LIE_UM, None, tag, peer)
        )

    def _place(self, attack: Attack) -> tuple[int, int, int]:
        way = DIRECTIONS.index(attack.way)
        return self._links.index(attack.link), way, self._code(attack)

    # ---- further clients --------------------------------------------------------------------

    def _connect(self, attack: Attack, number: int, now_ns: int) -> None:
        address, self._address = self._address, self._address + 1
        link = self._links.index(attack.link)
        own = self._credential(attack)
        secret = int(self._rng.integers(1, 1 << 60))
        heard = self._heard_hello or self._lawful_hello
        if attack.detail == "replayed" and heard is None:
            attack = replace(attack, detail="none")  # nothing was heard that could be repeated
        opening = (
            hello(own, secret, now_ns, link) if own is not None else _bare(secret, now_ns, link)
        )
        if attack.detail == "replayed" and heard is not None:
            opening = heard
        elif attack.detail == "valid" and self._lawful_hello is None:
            self._lawful_hello = opening
        client = Client(attack, own, Association(link, address), secret, opening, now_ns)
        client.association.nonce = now_ns
        client.association.step(Cue.OFFER)
        self._clients[address] = client
        self._tell(now_ns, client, opening, sealed=False)
        stay_ns = max(ANSWER_NS, ns(attack.seconds))
        self._port.at(now_ns + stay_ns, partial(self._leave, client))

    def _credential(self, attack: Attack) -> Credential | None:
        """What a client shows, by the attack's detail."""
        profile, ours = self._profile, maker(self._profile)
        self._observer += attack.detail == "valid" or attack.kind == "update"
        observer = subject(profile, f"observer-{self._observer}")
        serial = 100 + self._observer
        stranger = authority(ours.name, "somebody else")
        made: dict[str, Callable[[], Credential | None]] = {
            "none": lambda: None,
            "expired": lambda: ours.issue(subject(profile, "observer-1"), 90, until_s=-_DAY_S),
            "foreign": lambda: stranger.issue(subject(profile, "observer-1"), 91),
            "revoked": lambda: ours.issue(subject(profile, "observer-1"), REVOKED),
            "unlisted": lambda: ours.issue(subject(profile, "visitor"), 92),
            "replayed": lambda: None,
        }
        lawful = attack.detail not in made or attack.kind == "update"
        return ours.issue(observer, serial) if lawful else made[attack.detail]()

    def _welcomed(self, now_ns: int, client: Client, said: dict[str, Any]) -> None:
        if client.answer == "welcome":
            return
        client.answer = "welcome"
        share, association = said.get("share"), client.association
        if isinstance(share, int) and association.step(Cue.WELCOME):
            association.take_keys(agree(client.secret, share), association.nonce, client=True)
            self._keep_alive(client, now_ns)
            if client.attack.kind == "update":
                self._offer(client, now_ns)

    def _keep_alive(self, client: Client, now_ns: int) -> None:
        if client.association.peer not in self._clients:
            return
        self._tell(now_ns, client, {"here": 1})
        self._port.at(now_ns + KEEPALIVE_NS, partial(self._keep_alive, client))

    def _tell(
        self, now_ns: int, client: Client, body: dict[str, Any], *, sealed: bool = True
    ) -> None:
        peer = client.association
        message = Message(self._control, peer.seq, now_ns, 0, body, 0, peer.peer)
        if sealed:
            message = message._replace(tag=tag_of(peer.send_key, peer.seq, message))
        peer.seq += 1
        self._port.inject(now_ns, peer.link, DIRECTIONS.index("to-patient"), message)

    def _served(self, now_ns: int, client: Client, message: Message) -> None:
        body = message.body or {}
        if "update" in body:
            client.updates.append(body)
        client.received += 1
        if client.last < 0:
            client.first = message.seq
        else:
            client.longest_gap_ns = max(client.longest_gap_ns, now_ns - client.last_ns)
        client.last, client.last_ns = max(client.last, message.seq), now_ns
        client.delay_max_ns = max(client.delay_max_ns, now_ns - message.sent_ns)

    def _leave(self, client: Client, now_ns: int) -> None:
        """What became of an attempt."""
        del self._clients[client.association.peer]
        served = client.last >= 0
        gap_ns = max(client.longest_gap_ns, now_ns - client.last_ns) if served else 0
        self._port.note(
            now_ns, "attempt",
            {
                "kind": client.attack.kind, "as": client.attack.detail,
                "peer": client.association.peer, "began_s": client.since_ns / 1e9,
                "answer": client.answer, "received": client.received,
                "lost": client.last - client.first + 1 - client.received if served else 0,
                "longest_gap_s": gap_ns / 1e9, "delay_max_s": client.delay_max_ns / 1e9,
                "update": next((u["update"] for u in client.updates), "none"),
            },
        )  # fmt: skip

    def _offer(self, client: Client, now_ns: int) -> None:
        """Software: as the maker signed it, altered since, signed by somebody else, or not."""
        detail, version = client.attack.detail, f"2-{client.attack.detail}"
        ours, digest = maker(self._profile), "5f2c"
        signer = authority(ours.name, "somebody else") if detail == "foreign" else ours
        signature = list(sign(signer.secret, *update_content(version, digest)))
        update: dict[str, Any] = {"version": version, "digest": digest}
        if detail == "altered":
            update["digest"] = "5f2d"
        if detail != "unsigned":
            update["signature"] = signature
        self._tell(now_ns, client, {"update": update})

    # ---- a rogue network --------------------------------------------------------------------

    def _intercept(self, attack: Attack, number: int, now_ns: int) -> None:
        """Put a gateway of one's own in between, at the IP layer: no radio is involved.

        It announces itself, opens the session with the device anew in the operator's name and
        answers the operator in the device's, both under an authority of its own, and gives
        commands, unsealed and sealed with its own keys.
        """
        link, way, code = self._place(attack)
        ca = authority(maker(self._profile).name, "rogue")
        console = ca.issue(subject(self._profile, "console"), 2)
        device = ca.issue(subject(self._profile, "device"), 1)
        if self._rogue is None:
            self._rogue = console, int(self._rng.integers(1, 1 << 60)), Association(link)
        _, secret, session = self._rogue
        if not session.send_key:
            session.nonce = now_ns
        share = public(secret)
        proof = list(sign(device.secret, "welcome", link, now_ns, share, ""))
        answer = {"cert": device.certificate.plain(), "share": share, "nonce": now_ns, "suite": ""}
        control = partial(Message, self._control)
        seq = 1_000_000 + 3 * number
        self._port.inject(now_ns, link, way, control(seq, now_ns, _GATEWAY))
        self._port.inject(
            now_ns, link, way, control(seq + 1, now_ns, 0, hello(console, secret, now_ns, link))
        )
        self._port.inject(
            now_ns, link, 1 - way, control(seq, now_ns, 0, {"welcome": {**answer, "proof": proof}})
        )
        seq = _ahead(self._last.get((way, code)), number)
        self._order(now_ns, link, way, Message(code, seq, now_ns, _LIE_UM), session)
        self._say(now_ns, "rogue", link, way, Message(self._control, seq, now_ns))

    def _order(self, now_ns: int, link: int, way: int, bare: Message, session: Association) -> None:
        """A command in clear, and the next one sealed."""
        key = session.send_key or 1 + int(self._rng.integers(1, 1 << 60))
        sealed = bare._replace(seq=bare.seq + 1)
        for order in (bare, sealed._replace(tag=tag_of(key, sealed.seq, sealed))):
            self._port.inject(now_ns, link, way, order)

    def _handshake_seen(self, now_ns: int, link: int, way: int, body: dict[str, Any]) -> None:
        if "hello" in body and self._heard_hello is None and link == 0:
            self._heard_hello = body
        said = body.get("welcome")
        if not isinstance(said, dict) or self._rogue is None or way == 0:
            return
        _, secret, session = self._rogue
        if said.get("nonce") == session.nonce and not session.send_key:
            session.take_keys(agree(secret, said["share"]), session.nonce, client=True)
            self._port.note(now_ns, "intercepted", {"link": link, "nonce": session.nonce})

    # ---- listening --------------------------------------------------------------------------

    def _report_listening(self, now_ns: int) -> None:
        self._port.note(now_ns, "overheard", self.eavesdropper.report())


def _ahead(before: Message | None, number: int) -> int:
    """A number for what nobody sent, in turn nearer and farther ahead of the flow's last packet.

    Until it arrives the flow goes on: on a busy host, or a slow path, past a number that lies near.
    """
    return before.seq + _AHEAD[number % len(_AHEAD)] if before is not None else 0


def _bare(secret: int, nonce: int, link: int) -> dict[str, Any]:
    """An opening without a certificate."""
    return {"hello": {"share": public(secret), "nonce": nonce, "link": link}}
