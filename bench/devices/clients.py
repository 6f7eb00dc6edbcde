"""The server's side of a device's security: its operator, further clients, software updates.

Further clients watch: they get the device's state with every heartbeat and may say that they are
there, or offer an update. Commands come from the operator alone.
"""

from __future__ import annotations

from typing import Any

from bench.devices.association import Association, Cue, Stage, tag_of
from bench.devices.certificates import agree, public, sign, signed
from bench.devices.ports import Message, Port
from bench.devices.profile import DeviceProfile
from bench.devices.security import SecurityLayer, SecurityTraits
from bench.network.scenario import Side
from bench.units import ns

SILENT_NS = ns(1.0)
"""A client that says nothing for so long is gone."""


def update_content(version: str, digest: str) -> tuple[object, ...]:
    """What the maker signs of an update."""
    return ("update", version, digest)


class DeviceSecurity(SecurityLayer):
    """The patient's side: the server."""

    def __init__(
        self, profile: DeviceProfile, side: Side, traits: SecurityTraits, port: Port
    ) -> None:
        super().__init__(profile, side, traits, port)
        self._clients: dict[int, Association] = {}

    def _open(self, now_ns: int, link: int, message: Message) -> None:
        """A packet of the operator's, or of a further client's."""
        if message.peer:
            self._of_client(now_ns, link, message)
        else:
            super()._open(now_ns, link, message)

    def _seal(self, now_ns: int, link: int, message: Message) -> None:
        """Heartbeats go to further clients as well."""
        super()._seal(now_ns, link, message)
        if self._clients and message.stream == self.control:
            for client in tuple(self._clients.values()):
                if client.link == link:
                    self._feed(now_ns, client, message)

    def _feed(self, now_ns: int, client: Association, message: Message) -> None:
        if now_ns - client.last_ns > SILENT_NS:
            self._leave(now_ns, client)
        elif client.stage is Stage.ANSWERED:
            self._tell(now_ns, client, client.handshake or {}, sealed=False)
        else:
            self._tell(now_ns, client, {"state": message.body})

    def _leave(self, now_ns: int, client: Association) -> None:
        client.step(Cue.LEAVE)
        del self._clients[client.peer]
        value = {"peer": client.peer, "subject": client.subject, "up": False}
        self.record(now_ns, "session", value)

    def _tell(
        self, now_ns: int, client: Association, body: dict[str, Any], *, sealed: bool = True
    ) -> None:
        message = Message(self.control, client.seq, now_ns, 0, body, 0, client.peer)
        if sealed:
            message = message._replace(tag=tag_of(client.send_key, client.seq, message))
        client.seq += 1
        self.port.send(now_ns, client.link, message)

    # ---- who may come in ------------------------------------------------------------------------

    def _handshake(self, now_ns: int, link: int, address: int, body: dict[str, Any]) -> None:
        said = body.get("hello")
        if not isinstance(said, dict):
            self.refuse(now_ns, "welcome", address)
            return
        share, nonce = said.get("share"), said.get("nonce")
        content = ("hello", said.get("link"), nonce, share)
        name, reason = self.certified(now_ns, said, *content)
        if not isinstance(share, int) or not isinstance(nonce, int):
            reason = reason or "share"
        elif not reason and "nonce" not in self.traits.skips:
            reason = self._not_new(name, nonce, link, address, said)
        reason = reason or self._not_here(now_ns, name, address)
        if reason == "again":
            return
        if reason:
            self.refuse(now_ns, reason, address, alarming=reason != "connections")
            if address:
                refusal = Message(self.control, 0, now_ns, 0, {"refused": reason}, 0, address)
                self.port.send(now_ns, link, refusal)
            return
        assert isinstance(share, int)
        assert isinstance(nonce, int)
        self._nonces[name, link] = max(nonce, self._nonces.get((name, link), -1))
        self._admit(now_ns, link, address, name, share, nonce)

    def _not_new(self, name: str, nonce: int, link: int, address: int, said: dict[str, Any]) -> str:
        """A hello holds for one link and once; the same peer may repeat it until it is heard."""
        if said.get("link") != link:
            return "replayed hello"
        known = self._nonces.get((name, link), -1)
        if nonce > known:
            return ""
        peer = self._clients.get(address) if address else self.operators[link]
        if nonce == known and peer is not None and peer.subject == name:
            return "again"
        return "replayed hello"

    def _not_here(self, now_ns: int, name: str, address: int) -> str:
        """The operator's place is the operator's; further clients share the others."""
        if not address:
            known = name == self._expected or {"certificate", "whitelist"} & self.traits.skips
            return "" if known else "not the operator"
        places = int(self.profile.declares.get("connections", 1.0)) - 1
        if address in self._clients or len(self._clients) < places:
            return ""
        if self.traits.evicts:
            self._leave(now_ns, next(iter(self._clients.values())))
        return "" if "connections" in self.traits.skips else "connections"

    def _admit(
        self, now_ns: int, link: int, address: int, name: str, share: int, nonce: int
    ) -> None:
        peer = Association(link, address) if address else self.operators[link]
        peer.step(Cue.HELLO)
        peer.nonce = nonce
        secret = self._secret(peer)
        peer.take_keys(agree(secret, share), nonce, client=False)
        peer.subject, peer.last_ns = name, now_ns
        self._plainly()
        own, suite = public(secret), self.suite
        proof = list(sign(self._own.secret, "welcome", link, nonce, own, suite))
        said = {"cert": self._own.certificate.plain(), "share": own, "nonce": nonce}
        peer.handshake = {"welcome": {**said, "suite": suite, "proof": proof}}
        if address:
            self._clients[address] = peer
        value = {"peer": address, "link": link, "subject": name, "up": True}
        self.record(now_ns, "session", value)

    # ---- what further clients say ---------------------------------------------------------------

    def _of_client(self, now_ns: int, link: int, message: Message) -> None:
        body = message.body or {}
        if not message.tag and "hello" in body:
            self._handshake(now_ns, link, message.peer, body)
            return
        client = self._clients.get(message.peer)
        if client is None or client.link != link or not client.authentic(message.seq, message):
            self.refuse(now_ns, "unknown peer", message.peer)
        elif not client.fresh(message.seq, message.stream):
            self.refuse(now_ns, "replayed", message.peer)
        elif message.stream != self.control:
            self.refuse(now_ns, "not the operator", message.peer)
        else:
            client.last_ns = now_ns
            client.step(Cue.RECORD)
            if isinstance(body.get("update"), dict):
                self._update(now_ns, client, body["update"])

    def _update(self, now_ns: int, client: Association, offered: dict[str, Any]) -> None:
        version, digest = str(offered.get("version")), str(offered.get("digest"))
        content = update_content(version, digest)
        good = signed(self.trust.anchor, offered.get("signature"), *content)
        if not good and "update" not in self.traits.skips:
            self.refuse(now_ns, "update signature", client.peer)
            self._tell(now_ns, client, {"update": "refused", "version": version})
            return
        self.signal(now_ns, "version", {"running": version})
        self.record(now_ns, "update", {"version": version, "peer": client.peer})
        self._tell(now_ns, client, {"update": "installed", "version": version})
