"""DICOM C-STORE on real loopback sockets: ours with ours, and with entities that are not ours."""

import select
import socket
import time
from dataclasses import replace

import pytest
from pydicom import dcmread
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import dcmwrite
from pynetdicom import AE, evt
from pynetdicom.sop_class import CTImageStorage, SecondaryCaptureImageStorage

from bench.benches.local.carriage import OPENERS, Place, dicom
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


@pytest.fixture
def end(hosts):
    opened = []

    def open_(side, link=0):
        opened.append(OPENERS["dicom"](Place(STREAM, link, side, lambda t_ns, call: None)))
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


def foreign_scp(host, status, got):
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
        (host, STREAM.port), block=False, evt_handlers=[(evt.EVT_C_STORE, store)]
    )


def test_an_scp_that_is_not_ours_stores_what_we_send(end):
    got = []
    server = foreign_scp("127.77.0.2", 0x0000, got)
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


def test_the_answer_of_an_scp_is_heeded(end):
    server = foreign_scp("127.77.0.2", 0xA700, [])
    try:
        patient = end("patient")
        send(patient, 0)
        gather(patient, lambda found: patient.faults)
        assert patient.faults == {"refused": 1}
    finally:
        server.shutdown()


def test_an_scu_that_is_not_ours_is_served_and_what_it_sends_wrong_is_refused(end):
    doctor = end("doctor")
    listening("127.77.0.2")
    entity = AE()
    entity.add_requested_context(SecondaryCaptureImageStorage, SYNTAX)
    entity.add_requested_context(CTImageStorage, SYNTAX)
    peer = entity.associate("127.77.0.2", STREAM.port)
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
