"""DICOM C-STORE in TLS on real loopback sockets: ours with ours, and with entities not ours."""

import contextlib
import select
import socket
import ssl
import threading
import time
from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from pydicom import dcmread
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import dcmwrite
from pynetdicom import AE, evt
from pynetdicom.sop_class import CTImageStorage, SecondaryCaptureImageStorage

from bench.benches.local.carriage import OPENERS, Place, credentials, dicom
from bench.devices.dicom import SYNTAX, instance_of, message_of
from bench.devices.ports import Message
from bench.devices.registry import find_device
from bench.devices.transfer import ImageSet

WITHIN_S = 20.0
STREAM = replace(find_device("mobile-dr-ct").stream("images"), carriage="dicom")
COUNT = STREAM.packets
SIZE = COUNT * STREAM.payload_bytes
MADE = ImageSet(1, 12)


def chunk(index):
    body = {"set": [1, 0, index, MADE.chunks, MADE.sha256]}
    return Message(STREAM.code, COUNT * index, 1000 + index, MADE.chunk(index), body, 9)


@pytest.fixture
def hosts(monkeypatch):
    """Addresses of the loopback interface."""
    monkeypatch.setattr(
        dicom, "address", lambda link, side: f"127.77.{link}.{1 if side == 'patient' else 2}"
    )


@pytest.fixture(scope="module")
def ids(kit):
    """Identities of both sides under one authority."""
    ours = credentials.Authority("tests")
    return {side: kit.identity(side, authority=ours) for side in ("patient", "doctor")}


@pytest.fixture
def end(hosts, ids):
    opened = []

    def open_(side, identity=None):
        place = Place(STREAM, 0, side, lambda t_ns, call: None, identity or ids[side])
        opened.append(OPENERS["dicom"](place))
        return opened[-1]

    yield open_
    for carriage in opened:
        carriage.close()


def gather(carriage, enough):
    """What arrives, errors included, until it is enough."""
    found, deadline = [], time.monotonic() + WITHIN_S
    while not enough(found):
        assert time.monotonic() < deadline, found
        select.select([carriage], [], [], 0.1)
        try:
            while True:
                found.append(carriage.take())
        except BlockingIOError:
            continue
        except ValueError as error:
            found.append(error)
    return found


def listening(host, port=STREAM.port):
    """Wait until somebody listens there."""
    deadline = time.monotonic() + WITHIN_S
    while True:
        try:
            socket.create_connection((host, port), 1.0).close()
            return
        except OSError:
            assert time.monotonic() < deadline
            time.sleep(0.02)


def send(carriage, index):
    first = chunk(index)
    for seq in range(first.seq, first.seq + COUNT):
        carriage.send(first._replace(seq=seq))


def test_chunks_arrive_whole_and_once(end):
    doctor, patient = end("doctor"), end("patient")
    listening("127.77.0.2")
    for index in range(MADE.chunks):
        send(patient, index)
    found = gather(doctor, lambda found: len(found) == MADE.chunks * COUNT)
    firsts = [message for message in found if message.seq % COUNT == 0]
    assert sorted(firsts) == [chunk(index) for index in range(MADE.chunks)]
    assert {message.seq for message in found} == set(range(MADE.chunks * COUNT))
    assert not patient.faults
    with pytest.raises(OSError, match="sends none"):
        doctor.send(chunk(0))


def test_a_chunk_that_nobody_takes_is_lost_and_the_next_finds_its_way(end):
    patient = end("patient")
    began = time.monotonic()
    send(patient, 0)
    assert time.monotonic() - began < 1.0
    gather(patient, lambda found: patient.faults["unreachable"] == 1)
    doctor = end("doctor")
    listening("127.77.0.2")
    send(patient, 1)
    assert gather(doctor, len)[0] == chunk(1)


def test_it_listens_once_the_place_is_free(end):
    with socket.create_server(("127.77.0.2", STREAM.port)):
        doctor, patient = end("doctor"), end("patient")
        time.sleep(0.5)  # the other process has tried by then
    listening("127.77.0.2")
    send(patient, 1)
    assert gather(doctor, len)[0] == chunk(1)


@pytest.fixture
def tls(tmp_path, ids):
    """Python's own context of either side, as the library's users make it: it checks strictly."""

    def made(side):
        identity = ids[side]
        plain = Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()
        pem = identity.key.private_bytes(*plain) + identity.certificate.public_bytes(Encoding.PEM)
        (tmp_path / "own.pem").write_bytes(pem)
        ca = identity.anchor.public_bytes(Encoding.PEM).decode()
        server = side == "doctor"
        purpose = ssl.Purpose.CLIENT_AUTH if server else ssl.Purpose.SERVER_AUTH
        context = ssl.create_default_context(purpose, cadata=ca)
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_cert_chain(tmp_path / "own.pem")
        return context

    return made


@pytest.mark.parametrize("side", ["patient", "doctor"])
def test_with_the_power_associations_go_and_others_are_opened(end, side):
    doctor, patient = end("doctor"), end("patient")
    listening("127.77.0.2")
    send(patient, 0)
    gather(doctor, len)
    gone = patient if side == "patient" else doctor
    gone.power(False)
    send(gone, 1) if side == "patient" else None
    with pytest.raises(BlockingIOError):
        gone.take()
    gone.power(True)
    listening("127.77.0.2")
    deadline = time.monotonic() + WITHIN_S
    found = []
    while chunk(2) not in found:  # the first to be sent again may find out that the other is gone
        assert time.monotonic() < deadline
        send(patient, 2)
        time.sleep(0.1)
        found += taken(patient) + taken(doctor)
    assert chunk(1) not in found


def foreign_scp(host, status, got, context):
    """A Storage SCP as the library's users write it."""

    def store(event):
        event.dataset.file_meta = event.file_meta
        file = DicomBytesIO()
        dcmwrite(file, event.dataset, enforce_file_format=True)
        got.append(file.getvalue())
        return status

    entity = AE()
    entity.add_supported_context(SecondaryCaptureImageStorage)
    return entity.start_server(
        (host, STREAM.port), block=False, evt_handlers=[(evt.EVT_C_STORE, store)],
        ssl_context=context,
    )  # fmt: skip


def test_an_scp_that_is_not_ours_stores_what_we_send(end, tls):
    got = []
    server = foreign_scp("127.77.0.2", 0x0000, got, tls("doctor"))
    try:
        patient = end("patient")
        send(patient, 3)
        gather(patient, lambda found: got)
        found = dcmread(DicomBytesIO(got[0]))
        assert message_of(found) == chunk(3)
        assert len(found.PixelData) == SIZE
        assert not patient.faults
    finally:
        server.shutdown()


def test_the_answer_of_an_scp_is_heeded(end, tls):
    server = foreign_scp("127.77.0.2", 0xA700, [], tls("doctor"))
    try:
        patient = end("patient")
        send(patient, 0)
        gather(patient, lambda found: patient.faults)
        assert patient.faults == {"refused": 1}
    finally:
        server.shutdown()


def test_an_scu_that_is_not_ours_is_served_and_what_it_sends_wrong_is_refused(end, tls):
    doctor = end("doctor")
    listening("127.77.0.2")
    entity = AE()
    entity.add_requested_context(SecondaryCaptureImageStorage, SYNTAX)
    entity.add_requested_context(CTImageStorage, SYNTAX)
    secured = tls("patient"), "console.stand-in"
    peer = entity.associate("127.77.0.2", STREAM.port, tls_args=secured)
    try:
        assert [context.abstract_syntax for context in peer.accepted_contexts] == [
            SecondaryCaptureImageStorage
        ]
        right, wrong = instance_of(chunk(0), SIZE), instance_of(chunk(1), SIZE)
        wrong.PixelData = bytes(SIZE)
        assert [peer.send_c_store(each).Status for each in (right, wrong)] == [0x0000, 0xC000]
    finally:
        peer.release()
    found = gather(doctor, lambda found: len(found) == COUNT + 1)
    assert found[0] == chunk(0)
    assert "picture" in str(found[-1])


def test_without_an_identity_nothing_is_opened(hosts):
    with pytest.raises(ValueError, match="identity"):
        OPENERS["dicom"](Place(STREAM, 0, "patient", lambda t_ns, call: None))


REFUSED = {
    "expired": "certificate verify failed",
    "foreign": "certificate verify failed",
    "misnamed": "certificate verify failed",
    "purpose": "certificate verify failed",
    "none": "peer did not return a certificate",
}


@pytest.mark.parametrize("fault", REFUSED)
@pytest.mark.parametrize("side", ["patient", "doctor"])
def test_an_entity_without_a_good_certificate_is_refused(end, kit, ids, fault, side):
    ours, stranger = credentials.Authority("tests"), credentials.Authority("tests")
    good = "doctor" if side == "patient" else "patient"
    issuer = stranger if fault == "foreign" else ours
    wrong = kit.identity(side, authority=issuer, shown=fault, anchor=ours)
    right = kit.identity(good, authority=ours)
    doctor, patient = (end(s, wrong if s == side else right) for s in ("doctor", "patient"))
    listening("127.77.0.2")
    send(patient, 0)
    asked, why = (doctor if side == "patient" else patient), REFUSED[fault]
    if side == "doctor" and fault == "none":
        asked, why = doctor, "no shared cipher"
    found = []

    def enough(got):
        for each in (doctor, patient):
            if each is not asked:
                found.extend(taken(each))
        return [n for n in asked.faults if n.startswith("refused")] and patient.faults[
            "unreachable"
        ]

    found += gather(asked, enough)
    assert found == []
    # A connection that the refused side closes is told of as well by some releases of CPython.
    names = [n for n in asked.faults if n.startswith("refused") and "closed (eof)" not in n]
    if (side, fault) == ("patient", "misnamed"):
        why = "the certificate bears another name"  # seen to by the bench, after OpenSSL
    assert names == [f"refused ({why})"]


def taken(carriage):
    """What has arrived there."""
    found = []
    try:
        while True:
            found.append(carriage.take())
    except BlockingIOError:
        return found


def test_a_client_that_says_nothing_holds_nobody_up(end):
    doctor, patient = end("doctor"), end("patient")
    listening("127.77.0.2")
    silent = [socket.create_connection(("127.77.0.2", STREAM.port)) for _ in range(3)]
    silent[1].sendall(b"\x16\x03\x01\x02\x00")
    silent[2].sendall(bytes.fromhex("0100000000cd00010000"))  # A-ASSOCIATE-RQ in clear
    send(patient, 1)
    assert gather(doctor, len)[0] == chunk(1)
    gather(doctor, lambda found: doctor.faults)
    assert list(doctor.faults) == ["refused (wrong version number)"]
    for sock in silent:
        sock.close()


def test_nobody_on_the_way_reads_a_picture(end, monkeypatch):
    """What passes between the two, by a relay where the sender takes the other to be."""
    doctor = end("doctor")
    listening("127.77.0.2")
    heard = bytearray()
    server = socket.create_server(("127.77.0.9", STREAM.port))

    def relay():
        near, _ = server.accept()
        with near, socket.create_connection(("127.77.0.2", STREAM.port)) as far:
            ways = {near: far, far: near}
            with contextlib.suppress(ConnectionError):
                while ready := select.select(ways, [], [], WITHIN_S)[0]:
                    for sock in ready:
                        data = sock.recv(65536)
                        if not data:
                            return
                        heard.extend(data)
                        ways[sock].sendall(data)

    thread = threading.Thread(target=relay, daemon=True)
    thread.start()
    there = {"patient": "127.77.0.1", "doctor": "127.77.0.9"}
    monkeypatch.setattr(dicom, "address", lambda link, side: there[side])
    patient = end("patient")
    send(patient, 2)
    assert gather(doctor, len)[0] == chunk(2)
    pixels = bytes(instance_of(chunk(2), SIZE).PixelData)
    assert len(heard) > SIZE
    for word in (b"STATION", b"SIMULATED", b"1.2.840.10008", pixels[-64:], pixels[:64]):
        assert word not in heard
    patient.close()
    thread.join(WITHIN_S)
    server.close()
