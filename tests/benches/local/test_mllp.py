"""HL7 over MLLP on real loopback sockets: ours with ours, and with a library that is not ours."""

import asyncio
import select
import socket
import threading
import time
from dataclasses import replace

import hl7.client
import hl7.mllp
import pytest

from bench.benches.local.carriage import OPENERS, Place, mllp
from bench.devices.hl7.exchange import MOST
from bench.devices.hl7.messages import acknowledge, decode, encode
from bench.devices.hl7.mllp import Frames, frame
from bench.devices.ports import Message
from bench.devices.registry import find_device

WITHIN_S = 10.0
RECORD = {
    "n": 3, "sum": "0123456789abcdef", "source": "monitor", "serial": 4,
    "values": {"heart_rate": 71}, "kind": "set", "at_ns": 5,
}  # fmt: skip
SENT = [Message(3, n, 1000 + n, 0, {**RECORD, "n": n}, -n) for n in range(5)]
HERE = "127.0.0.1"


class Loop:
    """What an agent's loop does for a carriage, until something is true or time is up."""

    def __init__(self):
        self.carriages = []
        self.timers = []
        self.found = []

    def at(self, t_ns, call):
        self.timers.append(call)

    def add(self, carriage):
        self.carriages.append(carriage)
        return carriage

    def until(self, true):
        end = time.monotonic() + WITHIN_S
        while not true():
            assert time.monotonic() < end, "not within the time"
            select.select(self.carriages, [], [], 0.01)
            for carriage in self.carriages:
                try:
                    while True:
                        self.found.append(carriage.take())
                except BlockingIOError:
                    pass
                except ValueError as error:
                    self.found.append(error)
            calls, self.timers = self.timers, []
            for call in calls:
                call(0)


@pytest.fixture
def loop():
    loop = Loop()
    yield loop
    for carriage in loop.carriages:
        carriage.close()


@pytest.fixture
def soon(monkeypatch):
    """Reconnects at once, so that the test need not wait; the bound itself is checked below."""
    monkeypatch.setattr(mllp, "SILENCE_NS", 50_000_000)
    monkeypatch.setattr(mllp, "ATTEMPT_EVERY_NS", 20_000_000)


def sender_to(loop, port):
    place = Place(find_device("icu-bed").stream("monitor-records"), 0, "patient", loop.at)
    return loop.add(mllp.MllpSender(place, HERE, (HERE, port)))


def test_the_streams_source_connects_and_the_other_side_listens(loop, monkeypatch):
    monkeypatch.setattr(mllp, "address", lambda link, side: f"127.77.1.{1 + (side == 'doctor')}")
    stream = replace(find_device("icu-bed").stream("monitor-records"), carriage="mllp")
    patient, doctor = (
        loop.add(OPENERS["mllp"](Place(stream, 0, side, loop.at))) for side in ("patient", "doctor")
    )
    for message in SENT:
        patient.send(message)
    loop.until(lambda: len(loop.found) == len(SENT) and not patient._outbox.waiting)
    assert loop.found == SENT
    assert not patient.faults
    assert not doctor.faults
    with pytest.raises(OSError, match="not supported"):
        doctor.send(SENT[0])


def test_nothing_blocks_while_nobody_listens(loop):
    with socket.create_server((HERE, 0)) as taken:
        port = taken.getsockname()[1]
    sender = sender_to(loop, port)
    began = time.monotonic()
    for n in range(MOST + 5):
        sender.send(Message(3, n, n, 0, RECORD))
    assert time.monotonic() - began < 2.0
    assert sender.faults == {"dropped": 5}
    receiver = loop.add(mllp.MllpReceiver((HERE, port)))
    loop.until(lambda: len(loop.found) == MOST)
    assert [message.seq for message in loop.found] == list(range(5, MOST + 5))
    assert not receiver.faults


def test_what_nobody_acknowledged_is_sent_again_and_handed_over_once(loop, soon):
    """The first connection goes dead half way, as in an outage; the next one finds ours."""
    with socket.create_server((HERE, 0)) as server:
        port = server.getsockname()[1]
        sender = sender_to(loop, port)
        for message in SENT:
            sender.send(message)
        server.setblocking(False)
        loop.until(lambda: sender._sock is not None)
        dead, _ = server.accept()
    receiver = loop.add(mllp.MllpReceiver((HERE, port)))
    # The first two are here already: the answers to them were lost.
    for message in SENT[:2]:
        assert receiver._inlet.take(encode(message))[0] == message
    loop.until(lambda: not sender._outbox.waiting)
    assert loop.found == SENT[2:]
    assert receiver.faults == {"repeated": 2}
    assert sender.faults["reconnected"] >= 1
    dead.close()


def test_a_dead_connection_is_given_up_in_time_for_the_devices_own_promise():
    """An outage costs no more than one wait and one attempt; TCP alone may wait for a minute."""
    longest_ns = mllp.SILENCE_NS + mllp.ATTEMPT_EVERY_NS + 2 * mllp._LOOK_NS
    for name in ("icu-bed", "home-monitor", "capsule-endoscope", "infusion-monitor"):
        assert longest_ns < find_device(name).declares["backfill_within_s"] * 1e9


def test_a_connection_without_answers_is_given_up_after_the_silence(loop, soon):
    with socket.create_server((HERE, 0)) as server:
        sender = sender_to(loop, server.getsockname()[1])
        loop.until(lambda: sender._sock is not None)
        first = sender._sock
        began = time.monotonic_ns()
        sender.send(SENT[0])
        loop.until(lambda: sender._sock not in (None, first))
        assert time.monotonic_ns() - began >= 50_000_000


def test_junk_is_an_error_and_ends_the_connection(loop):
    receiver = loop.add(mllp.MllpReceiver((HERE, 0)))
    with socket.create_connection((HERE, receiver.port)) as peer:
        peer.sendall(frame(encode(SENT[0])) + b"GET / HTTP/1.1\r\n")
        loop.until(lambda: len(loop.found) == 2)
        assert loop.found[0] == SENT[0]
        assert "0x0B" in str(loop.found[1])
        assert not receiver._open


def test_bad_hl7_is_answered_and_the_connection_lives(loop):
    receiver = loop.add(mllp.MllpReceiver((HERE, 0)))
    with socket.create_connection((HERE, receiver.port)) as peer:
        bad = encode(SENT[0]).replace(b"|71|", b"|much|")
        peer.sendall(frame(bad) + frame(encode(SENT[1])))
        loop.until(lambda: len(loop.found) == 2)
        assert "OBX-5" in str(loop.found[0])
        assert loop.found[1] == SENT[1]
        answers = list(Frames().feed(peer.recv(65536)))
    assert [b"|AE|" in answers[0] or b"MSA|AE|" in answers[0], b"MSA|AA|" in answers[1]] == [1, 1]


def test_a_refused_message_is_not_sent_for_ever(loop):
    with socket.create_server((HERE, 0)) as server:
        sender = sender_to(loop, server.getsockname()[1])
        loop.until(lambda: sender._sock is not None)
        peer, _ = server.accept()
        sender.send(SENT[0])
        peer.sendall(frame(acknowledge(encode(SENT[0]), error="no")))
        loop.until(lambda: not sender._outbox.waiting)
        assert sender.faults == {"refused": 1}
        peer.sendall(frame(encode(SENT[0])))
        loop.until(lambda: loop.found)
        assert "without MSA" in str(loop.found[0])
        peer.close()


def test_a_client_that_is_not_ours_is_served(loop):
    receiver = loop.add(mllp.MllpReceiver((HERE, 0)))
    answers = []

    def client():
        with hl7.client.MLLPClient(HERE, receiver.port) as other:
            answers.append(other.send_message(hl7.parse(encode(SENT[0]).decode())))

    thread = threading.Thread(target=client)
    thread.start()
    loop.until(lambda: answers)
    thread.join(WITHIN_S)
    assert loop.found == SENT[:1]
    answer = hl7.parse(answers[0].strip(b"\x0b\x1c\r").decode())
    assert str(answer.segment("MSA")) == "MSA|AA|3.0.1000"


def test_a_server_that_is_not_ours_is_reached(loop):
    """The library's own server acknowledges what our sender sends."""
    got, ports = [], []
    stop = threading.Event()

    async def serve():
        async def session(reader, writer):
            while not writer.is_closing():
                try:
                    message = await reader.readmessage()
                except asyncio.IncompleteReadError:
                    break
                got.append(str(message))
                writer.writemessage(message.create_ack())
                await writer.drain()

        server = await hl7.mllp.start_hl7_server(session, HERE, 0)
        ports.append(server.sockets[0].getsockname()[1])
        while not stop.is_set():
            await asyncio.sleep(0.01)
        server.close()

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    try:
        loop.until(lambda: ports)
        sender = sender_to(loop, ports[0])
        for message in SENT:
            sender.send(message)
        loop.until(lambda: not sender._outbox.waiting)
        assert [decode(text.encode()) for text in got] == SENT
        assert not sender.faults
    finally:
        stop.set()
        thread.join(WITHIN_S)
