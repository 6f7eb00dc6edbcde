"""A security association with one peer on one link: handshake states, keys, tags, replay window.

The records are a device's own packets: a keyed tag over all of their content, their number the
sequence number within the stream (as in SRTP, RFC 3711, 3.3.2). The tag is a model: a keyed sum
that nobody computes without the key, and no cryptography. What a sealed packet holds can be read
by the two sides only (:func:`visible`).
"""

from __future__ import annotations

import zlib
from enum import StrEnum
from typing import Any

from bench.devices.ports import Message
from bench.devices.replay import ReplayWindow

_ABOVE_ZERO = 1 << 40  # Python gives -1 and -2 the same hash


class Stage(StrEnum):
    """Where an association stands. ``OFFERED``: the client's side; ``ANSWERED``: the server's."""

    CLOSED = "closed"
    OFFERED = "offered"
    ANSWERED = "answered"
    ESTABLISHED = "established"


class Cue(StrEnum):
    """What can happen to an association. ``HELLO``, ``WELCOME``: valid ones only."""

    OFFER = "offer"
    HELLO = "hello"
    WELCOME = "welcome"
    RECORD = "record"
    LEAVE = "leave"


TRANSITIONS: dict[tuple[Stage, Cue], Stage] = {
    (Stage.CLOSED, Cue.OFFER): Stage.OFFERED,
    (Stage.OFFERED, Cue.OFFER): Stage.OFFERED,
    (Stage.OFFERED, Cue.WELCOME): Stage.ESTABLISHED,
    (Stage.CLOSED, Cue.HELLO): Stage.ANSWERED,
    (Stage.ANSWERED, Cue.HELLO): Stage.ANSWERED,
    (Stage.ESTABLISHED, Cue.HELLO): Stage.ANSWERED,
    (Stage.ANSWERED, Cue.RECORD): Stage.ESTABLISHED,
    (Stage.ESTABLISHED, Cue.RECORD): Stage.ESTABLISHED,
    (Stage.OFFERED, Cue.LEAVE): Stage.CLOSED,
    (Stage.ANSWERED, Cue.LEAVE): Stage.CLOSED,
    (Stage.ESTABLISHED, Cue.LEAVE): Stage.CLOSED,
}
"""Anything else is refused and changes nothing: a welcome that nobody asked for, for one."""


def tag_of(key: int, number: int, message: Message) -> int:
    """The tag over a packet's content: stream, record number, time, value and body; never 0.

    The body is plain JSON data, so that it reads the same at both ends.
    """
    stream, _, sent_ns, value, body, _, _ = message
    value += _ABOVE_ZERO
    if body is None:
        return hash((key, stream, number, sent_ns, value)) or 1
    return hash((key, stream, number, sent_ns, value, zlib.crc32(repr(body).encode()))) or 1


def visible(message: Message) -> bool:
    """Whether somebody without the keys can read what a packet holds."""
    return not message.tag


class Association:
    """What one side knows of one peer on one link.

    ``send_key``, ``receive_key``: 0 where there is none. ``nonce``: of the handshake that the
    keys are from. ``handshake``: the body that this side repeats until it is answered.
    """

    __slots__ = (
        "handshake",
        "last_ns",
        "link",
        "nonce",
        "peer",
        "receive_key",
        "send_key",
        "seq",
        "stage",
        "subject",
        "windows",
    )  # fmt: skip

    def __init__(self, link: int, peer: int = 0) -> None:
        self.link = link
        self.peer = peer
        self.stage = Stage.CLOSED
        self.send_key = self.receive_key = 0
        self.windows: dict[int, ReplayWindow] = {}
        self.subject = ""
        self.nonce = -1
        self.handshake: dict[str, Any] | None = None
        self.seq = 0
        self.last_ns = 0

    def step(self, cue: Cue) -> bool:
        """Go on; false where the table refuses it."""
        stage = TRANSITIONS.get((self.stage, cue))
        if stage is None:
            return False
        self.stage = stage
        return True

    def take_keys(self, shared: int, nonce: int, *, client: bool) -> None:
        """Derive both directions' keys from what was agreed; every window begins anew."""
        upward = hash((shared, nonce, self.link, 1)) or 1
        downward = hash((shared, nonce, self.link, 2)) or 1
        self.send_key, self.receive_key = (upward, downward) if client else (downward, upward)
        self.nonce = nonce
        self.windows = {}

    def authentic(self, number: int, message: Message) -> bool:
        """Whether the peer made this packet, as it is."""
        return tag_of(self.receive_key, number, message) == message.tag and self.receive_key != 0

    def fresh(self, number: int, stream: int) -> bool:
        """Whether a packet of this number did not come before; it has from then on."""
        window = self.windows.get(stream)
        if window is None:
            window = self.windows[stream] = ReplayWindow()
        return window.take(number)
