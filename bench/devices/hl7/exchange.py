"""The two ends of an exchange of HL7 messages over one connection at a time. No I/O.

A message is kept until the other end acknowledges it, and written again on the next connection.
What comes twice for that is acknowledged twice and handed over once: every message of a device
has a control id of its own.
"""

from __future__ import annotations

from collections import Counter, OrderedDict, deque
from collections.abc import Iterator

from bench.devices.hl7.messages import acknowledge, control_id, decode, encode, read_ack
from bench.devices.hl7.mllp import Frames, frame
from bench.devices.ports import Message

MOST = 64
"""Messages that wait for their acknowledgement at most: older ones give way."""

REMEMBERED = 1024
"""Control ids that the receiving end knows again."""


class Outbox:
    """The sending end.

    ``counts``: ``dropped`` (gave way, never acknowledged), ``refused`` (by the other end).
    """

    def __init__(self, most: int = MOST) -> None:
        self.counts: Counter[str] = Counter()
        self._most = most
        self._waiting: OrderedDict[str, bytes] = OrderedDict()
        self._unwritten: deque[str] = deque()
        self._frames = Frames()

    @property
    def waiting(self) -> bool:
        """Some message is not acknowledged."""
        return bool(self._waiting)

    def put(self, message: Message) -> None:
        """One more message."""
        number = control_id(message)
        self._waiting[number] = frame(encode(message))
        self._unwritten.append(number)
        if len(self._waiting) > self._most:
            self._waiting.popitem(last=False)
            self.counts["dropped"] += 1

    def connected(self) -> None:
        """A new connection: all that is not acknowledged is to be written again."""
        self._frames = Frames()
        self._unwritten = deque(self._waiting)

    def forget(self) -> None:
        """All that waits is gone, as with the power."""
        self._waiting.clear()
        self._unwritten.clear()

    def to_write(self) -> bytes:
        """What the connection is to carry next; it is taken for written."""
        waiting = self._waiting
        found = b"".join(waiting[number] for number in self._unwritten if number in waiting)
        self._unwritten.clear()
        return found

    def feed(self, data: bytes) -> None:
        """Take what came back.

        Raises:
            ValueError: no acknowledgements; the connection is of no use any more.
        """
        for payload in self._frames.feed(data):
            answer = read_ack(payload)
            known = self._waiting.pop(answer.control_id, None) is not None
            if known and answer.code != "AA":
                self.counts["refused"] += 1


class Inlet:
    """The receiving end, over all its connections.

    ``counts``: ``repeated`` (came again, handed over once).
    """

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self._known: OrderedDict[str, None] = OrderedDict()

    def forget(self) -> None:
        """What was handed over is no longer known."""
        self._known.clear()

    def take(self, payload: bytes) -> tuple[Message | ValueError | None, bytes]:
        """One unframed message.

        Returns:
            The message, ``None`` for one that is known, or what is wrong with it; and the answer.

        Raises:
            ValueError: it cannot even be answered.
        """
        try:
            message = decode(payload)
        except ValueError as error:
            return error, frame(acknowledge(payload, error=str(error)))
        answer = frame(acknowledge(payload))
        number = control_id(message)
        if number in self._known:
            self.counts["repeated"] += 1
            return None, answer
        self._known[number] = None
        if len(self._known) > REMEMBERED:
            self._known.popitem(last=False)
        return message, answer


class Connection:
    """What one connection brings to an :class:`Inlet`.

    ``answers``: to be written back.
    """

    def __init__(self, inlet: Inlet) -> None:
        self.answers = bytearray()
        self._inlet = inlet
        self._frames = Frames()

    def feed(self, data: bytes) -> Iterator[Message | ValueError]:
        """Add ``data`` and give the messages that are new, and what is wrong with others.

        Raises:
            ValueError: what came cannot be answered; the connection is of no use any more.
        """
        for payload in self._frames.feed(data):
            found, answer = self._inlet.take(payload)
            self.answers += answer
            if found is not None:
                yield found
