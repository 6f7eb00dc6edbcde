"""HL7 over MLLP on real loopback sockets: ours with ours, and with others' TLS and HL7.

What TLS does not touch is tried in clear, which no session is.
"""

import asyncio
import select
import shutil
import socket
import ssl
import subprocess
import threading
import time
from dataclasses import replace

import hl7.client
import hl7.mllp
import pytest
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from bench.benches.local.carriage import OPENERS, Place, credentials, mllp
from bench.benches.local.carriage.tls import context
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
            self.step()

    def step(self):
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


@pytest.fixture(scope="module")
def ends(kit):
    """Identities of both sides under one authority."""
    ours = credentials.Authority("tests")
    return {side: kit.identity(side, authority=ours) for side in ("patient", "doctor")}


def sender_to(loop, port, identity=None):
    place = Place(find_device("icu-bed").stream("monitor-records"), 0, "patient", loop.at)
    made = None if identity is None else context(identity)
    return loop.add(mllp.MllpSender(place, HERE, (HERE, port), made))


def receiver_at(loop, identity):
    return loop.add(mllp.MllpReceiver((HERE, 0), context(identity)))


def test_the_streams_source_connects_and_the_other_side_listens(loop, ends, monkeypatch):
    monkeypatch.setattr(mllp, "address", lambda link, side: f"127.77.1.{1 + (side == 'doctor')}")
    stream = replace(find_device("icu-bed").stream("monitor-records"), carriage="mllp")
    patient, doctor = (
        loop.add(OPENERS["mllp"](Place(stream, 0, side, loop.at, ends[side])))
        for side in ("patient", "doctor")
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
        loop.until(lambda: sender._pipe is not None)
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
        loop.until(lambda: sender._pipe is not None)
        first = sender._pipe
        began = time.monotonic_ns()
        sender.send(SENT[0])
        loop.until(lambda: sender._pipe not in (None, first))
        assert time.monotonic_ns() - began >= 50_000_000


def test_with_the_power_the_senders_connection_and_its_messages_go(loop, soon):
    receiver = loop.add(mllp.MllpReceiver((HERE, 0)))
    sender = sender_to(loop, receiver.port)
    sender.send(SENT[0])
    loop.until(lambda: loop.found and not sender._outbox.waiting)
    sender.send(SENT[1])
    sender.power(False)
    for _ in range(5):
        loop.step()
    assert sender._pipe is None
    assert not sender._attempts
    assert not receiver._open
    sender.power(True)
    loop.until(lambda: sender._pipe is not None)
    sender.send(SENT[2])
    loop.until(lambda: not sender._outbox.waiting)
    # The second message may have left before the power did; it does not come again by itself.
    assert [m for m in loop.found if m != SENT[1]] == [SENT[0], SENT[2]]


def test_with_the_power_the_receiver_and_its_memory_go(loop, soon):
    receiver = loop.add(mllp.MllpReceiver((HERE, 0)))
    port = receiver.port
    sender = sender_to(loop, port)
    sender.send(SENT[0])
    loop.until(lambda: loop.found and not sender._outbox.waiting)
    receiver.power(False)
    receiver._here = (HERE, port)
    sender.send(SENT[1])
    for _ in range(5):
        loop.step()
    assert not receiver._open
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((HERE, port), 1.0)
    receiver.power(True)
    loop.until(lambda: not sender._outbox.waiting)
    sender.send(SENT[0])
    loop.until(lambda: len(loop.found) == 3)
    assert loop.found == [SENT[0], SENT[1], SENT[0]]  # it does not know the first any more
    assert sender.faults["reconnected"] >= 1


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
        loop.until(lambda: sender._pipe is not None)
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


# ---- TLS


def test_without_an_identity_nothing_is_opened(loop):
    stream = find_device("icu-bed").stream("monitor-records")
    with pytest.raises(ValueError, match="identity"):
        OPENERS["mllp"](Place(stream, 0, "doctor", loop.at))


class Relay(threading.Thread):
    """Listens, hands on to a port, and keeps what passes both ways."""

    def __init__(self, port):
        super().__init__(daemon=True)
        self.there, self.heard = port, bytearray()
        self.server = socket.create_server((HERE, 0))
        self.port = self.server.getsockname()[1]
        self.start()

    def run(self):
        near, _ = self.server.accept()
        with near, self.server, socket.create_connection((HERE, self.there)) as far:
            ways = {near: far, far: near}
            while ready := select.select(ways, [], [], WITHIN_S)[0]:
                for sock in ready:
                    data = sock.recv(65536)
                    if not data:
                        return
                    self.heard += data
                    ways[sock].sendall(data)


def test_nobody_on_the_way_reads_or_alters_a_message(loop, ends):
    receiver = receiver_at(loop, ends["doctor"])
    relay = Relay(receiver.port)
    sender = sender_to(loop, relay.port, ends["patient"])
    for message in SENT:
        sender.send(message)
    loop.until(lambda: len(loop.found) == len(SENT) and not sender._outbox.waiting)
    assert loop.found == SENT
    assert not sender.faults + receiver.faults
    heard = bytes(relay.heard)
    assert len(heard) > sum(len(encode(message)) for message in SENT)
    assert not [word for word in (b"MSH", b"heart", b"|71|", b"STATION") if word in heard]
    # A byte of a record changed on the way ends the session; nothing of it is handed over.
    ours, pipe = sender._pipe, next(iter(receiver._open.values()))[0]
    ours._tls.seal(frame(encode(SENT[0]._replace(seq=9))))
    record = bytearray(ours._tls.out())
    record[20] ^= 1
    ours.sock.sendall(record)
    loop.until(lambda: not receiver._open or pipe not in [p for p, _ in receiver._open.values()])
    assert loop.found == SENT
    assert [count for name, count in receiver.faults.items() if name.startswith("refused")] == [1]


REFUSED = {
    "expired": "certificate verify failed",
    "foreign": "certificate verify failed",
    "misnamed": "certificate verify failed",
    "purpose": "certificate verify failed",
    "none": "peer did not return a certificate",
}


@pytest.mark.parametrize("fault", REFUSED)
@pytest.mark.parametrize("side", ["patient", "doctor"])
def test_a_peer_without_a_good_certificate_is_refused_by_openssl(loop, kit, soon, fault, side):
    ours, stranger = credentials.Authority("tests"), credentials.Authority("tests")
    good = "doctor" if side == "patient" else "patient"
    issuer = stranger if fault == "foreign" else ours
    shown = {
        good: kit.identity(good, authority=ours),
        side: kit.identity(side, authority=issuer, shown=fault, anchor=ours),
    }
    receiver = receiver_at(loop, shown["doctor"])
    sender = sender_to(loop, receiver.port, shown["patient"])
    sender.send(SENT[0])
    asked = receiver if side == "patient" else sender
    name = f"refused ({REFUSED[fault]})"
    if side == "doctor" and fault == "none":
        # A server without a certificate has no suite in common with anybody.
        asked, name = receiver, "refused (no shared cipher)"
    loop.until(lambda: asked.faults[name] >= 2)  # again, as often as it tries
    assert loop.found == []
    assert sender._outbox.waiting


def test_a_client_that_says_nothing_holds_nobody_up(loop, ends):
    """Not a byte, half an opening, and an opening in clear: who comes next is served."""
    receiver = receiver_at(loop, ends["doctor"])
    idle = [socket.create_connection((HERE, receiver.port)) for _ in range(3)]
    idle[1].sendall(b"\x16\x03\x01\x02\x00")
    idle[2].sendall(frame(encode(SENT[0])))
    sender = sender_to(loop, receiver.port, ends["patient"])
    sender.send(SENT[1])
    loop.until(lambda: loop.found and not sender._outbox.waiting)
    assert loop.found == [SENT[1]]
    assert receiver.faults == {"refused (wrong version number)": 1}
    for _ in range(mllp._MOST_CONNECTIONS + 3):  # nor do they push out one that stands
        idle.append(socket.create_connection((HERE, receiver.port), WITHIN_S))
        loop.until(lambda: not select.select([receiver._listener], [], [], 0)[0])
    assert len(receiver._open) == mllp._MOST_CONNECTIONS
    sender.send(SENT[2])
    loop.until(lambda: len(loop.found) == 2 and not sender._outbox.waiting)
    assert not sender.faults
    for sock in idle:
        sock.close()


@pytest.fixture
def files(tmp_path, ends):
    """Certificate and key of each side, and the authority's, as others want them."""
    for side, identity in ends.items():
        plain = Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()
        pem = identity.key.private_bytes(*plain) + identity.certificate.public_bytes(Encoding.PEM)
        (tmp_path / f"{side}.pem").write_bytes(pem)
        (tmp_path / "ca.pem").write_bytes(identity.anchor.public_bytes(Encoding.PEM))
    return tmp_path


@pytest.mark.parametrize("version", ["TLSv1_2", "TLSv1_3"])
def test_an_hl7_client_over_another_tls_is_served(loop, ends, files, version):
    """The library's client over Python's own TLS, which checks our certificate by itself."""
    made = ssl.create_default_context(cafile=files / "ca.pem")
    made.load_cert_chain(files / "patient.pem")
    made.minimum_version = made.maximum_version = ssl.TLSVersion[version]
    receiver = receiver_at(loop, ends["doctor"])
    answers = []

    def client():
        with hl7.client.MLLPClient(HERE, receiver.port) as other:
            other.socket = made.wrap_socket(other.socket, server_hostname="console.stand-in")
            answers.append((other.send_message(encode(SENT[0])), other.socket.cipher()[0]))

    thread = threading.Thread(target=client)
    thread.start()
    loop.until(lambda: answers)
    thread.join(WITHIN_S)
    assert loop.found == SENT[:1]
    assert b"MSA|AA|3.0.1000" in answers[0][0]
    assert answers[0][1].endswith(("AES256-GCM-SHA384", "AES_256_GCM_SHA384"))
    assert not receiver.faults


@pytest.mark.skipif(shutil.which("openssl") is None, reason="NOT TESTED: no openssl command here")
def test_openssls_own_server_and_client_agree_with_ours(loop, ends, files):
    with socket.create_server((HERE, 0)) as taken:
        port = taken.getsockname()[1]
    ours = ["-CAfile", files / "ca.pem", "-verify_return_error", "-quiet"]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
    command = ["openssl", "s_server", "-accept", f"{HERE}:{port}", "-Verify", "2",
               "-cert", files / "doctor.pem", "-key", files / "doctor.pem", *ours]  # fmt: skip
    with subprocess.Popen(command, **pipes) as server:
        sender = sender_to(loop, port, ends["patient"])
        sender.send(SENT[0])
        loop.until(lambda: sender._pipe is not None)
        got = b""
        while b"\x1c\r" not in got:
            got += server.stdout.read1()
        assert list(Frames().feed(got)) == [encode(SENT[0])]
        server.stdin.write(frame(acknowledge(encode(SENT[0]))))
        server.stdin.flush()
        loop.until(lambda: not sender._outbox.waiting)
        server.kill()
    receiver = receiver_at(loop, ends["doctor"])
    command = ["openssl", "s_client", "-connect", f"{HERE}:{receiver.port}",
               "-cert", files / "patient.pem", "-key", files / "patient.pem",
               "-verify_hostname", "console.stand-in", *ours]  # fmt: skip
    with subprocess.Popen(command, **pipes) as client:
        client.stdin.write(frame(encode(SENT[1])))
        client.stdin.flush()
        loop.until(lambda: loop.found)
        assert loop.found == [SENT[1]]
        assert b"MSA|AA" in client.stdout.read1()
        client.kill()
