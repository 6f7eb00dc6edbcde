"""What carries a stream between the two sides: each carriage by itself, over loopback sockets."""

from __future__ import annotations

import contextlib
import pickle
import random
import select
import time
from dataclasses import replace

import pytest
from OpenSSL import SSL

from bench.benches.local.carriage import OPENERS, Place, credentials, datagram, dtls
from bench.benches.local.intercepting import Interceptor
from bench.benches.local.port import LocalPort
from bench.devices.ports import Message


@pytest.fixture(autouse=True)
def on_loopback(monkeypatch):
    """Addresses of the loopback interface, which every host has."""
    monkeypatch.setattr(
        datagram, "address", lambda link, side: f"127.77.{link}.{1 if side == 'patient' else 2}"
    )


@pytest.fixture(scope="module")
def identities():
    return credentials.identities("stand-in")


class Ends:
    """Both ends of one stream's carriage, and the timers that they asked for."""

    def __init__(self, stream, identities=None):
        self.timers = []
        self.doctor, self.patient = (
            OPENERS[stream.carriage](
                Place(stream, 0, side, self.at, identities[side] if identities else None)
            )
            for side in ("doctor", "patient")
        )

    def at(self, t_ns, call):
        self.timers.append((t_ns, call))

    def until(self, now_ns):
        """Call what is due by then."""
        while self.timers and min(t_ns for t_ns, _ in self.timers) <= now_ns:
            entry = min(self.timers, key=lambda timer: timer[0])
            self.timers.remove(entry)
            entry[1](entry[0])

    def exchange(self, now_ns=0):
        """Whatever is due by then, and what comes of it: messages at either end."""
        self.until(now_ns)
        found = {"doctor": [], "patient": []}
        for _ in range(8):
            found["patient"] += taken(self.patient)
            found["doctor"] += taken(self.doctor)
        return found

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.doctor.close()
        self.patient.close()


def taken(carriage):
    """What waits there."""
    found = []
    while select.select([carriage], [], [], 0)[0]:
        try:
            while True:
                found.append(carriage.take())
        except BlockingIOError:
            pass
    return found


def test_datagrams_arrive_as_they_were_sent(kit):
    with Ends(replace(kit.standin.CONTROL, carriage="datagram")) as ends:
        sent = [Message(0, n, 5, -3, {"side": "x"} if n % 2 else None, 77) for n in range(9)]
        for message in sent:
            ends.doctor.send(message)
        assert taken(ends.patient) == sent
        ends.patient.send(sent[0])
        assert taken(ends.doctor) == sent[:1]
        assert taken(ends.doctor) == []


def test_rtp_arrives_as_it_was_sent(kit):
    with Ends(kit.standin.VIDEO) as ends:
        sent = [Message(2, 70_000 + n, 5, 0x7E1E, None, -77) for n in range(5)]
        for message in sent:
            ends.patient.send(message)
        ends.patient._sock.send(b"\x80" + bytes(50))  # of somebody else
        assert [ends.doctor.take() for _ in sent] == sent
        with pytest.raises(ValueError, match="not RTP"):
            ends.doctor.take()


def test_what_is_no_message_is_said_and_what_does_not_fit_is_refused(kit):
    stream = kit.standin.COMMAND
    with Ends(stream) as ends:
        ends.doctor._sock.send(b"stray")
        with pytest.raises(ValueError, match="shorter"):
            ends.patient.take()
        with pytest.raises(ValueError, match="do not fit"):
            ends.doctor.send(Message(1, 0, 0, 0, {"much": "more than fits into it"}))


def test_a_port_says_what_its_carriages_met_by_stream(kit, identities):
    profile = kit.session(1.0).device
    port = LocalPort(profile, "doctor", 2, identities["doctor"])
    assert [(link, code) for _, link, code in port.carriages] == [
        (link, stream.code) for stream in profile.streams for link in (0, 1)
    ]
    assert port.faults() == {}
    for carriage, _, code in port.carriages:
        if code == 1:
            carriage.faults["refused"] += 2
    assert port.faults() == {"haptic-command/refused": 4}
    port.send(0, 0, Message(1, 0, 0))
    assert port.send_errors == 0
    for carriage, _, _ in port.carriages:
        carriage.close()
    port.send(0, 0, Message(1, 0, 0))
    assert port.send_errors == 1


def test_a_port_cannot_carry_what_nobody_knows(kit):
    with pytest.raises(KeyError):
        Ends(replace(kit.standin.CONTROL, carriage="pigeon"))


# ---- DTLS


CONTROL_BYTES = 200
S = 1_000_000_000


def control(number, side="doctor"):
    return Message(0, number, 5 + number, -3, {"side": side}, 77)


@pytest.fixture
def standing(kit, identities):
    """Both ends of a session that stands."""
    with Ends(kit.standin.CONTROL, identities) as ends:
        ends.exchange()
        ends.doctor.send(control(0))
        assert ends.exchange()["patient"] == [control(0)]
        yield ends


def lose(carriage):
    """Take from the network what waits there, and give it to nobody."""
    found = []
    while select.select([carriage], [], [], 0)[0]:
        found.append(carriage._sock.recv(65535))
    return found


def test_a_message_is_a_record_of_the_declared_size_that_nobody_reads(standing):
    standing.doctor.send(control(7))
    standing.patient.send(control(8, "patient"))
    (forth,) = lose(standing.patient)
    (back,) = lose(standing.doctor)
    for record, number in ((forth, 8), (back, 9)):  # its own and one
        assert len(record) == CONTROL_BYTES
        # RFC 6347, 4.1: data, DTLS 1.2, epoch 1, the number, the length of the rest
        head = bytes.fromhex("17fefd0001") + number.to_bytes(6, "big")
        assert record[:13] == head + (CONTROL_BYTES - 13).to_bytes(2, "big")
        assert b"TB" not in record
        assert b"side" not in record
    standing.patient._sock.sendto(back, standing.doctor._sock.getsockname())
    assert standing.exchange()["doctor"] == [control(8, "patient")]
    assert not standing.doctor.faults["not-accepted"]


def numbers(carriage):
    """Of the records with data that wait there."""
    return [int.from_bytes(each[5:11], "big") for each in lose(carriage) if each[0] == 23]


def test_a_message_is_in_the_record_of_its_number_and_one_on_every_link(standing):
    for seq in (1, 2, 5, 900):
        standing.doctor.send(control(seq))
    assert numbers(standing.patient) == [2, 3, 6, 901]
    standing.doctor.send(control(5000))  # not all at once: the loop has other things to do
    standing.doctor.send(control(5001))
    first, second = numbers(standing.patient)
    assert 901 < first < second < 5002
    for seq in range(5002, 5006):
        standing.doctor.send(control(seq))
    assert numbers(standing.patient)[-1] == 5006
    for seq in (0, 1, 4):  # a device that was started anew
        standing.doctor.send(control(seq))
    assert numbers(standing.patient) == [5007, 5008, 5011]


def test_a_device_that_was_without_power_goes_on_with_the_next_round_number_on_every_link(standing):
    for seq in range(1, 8):
        standing.doctor.send(control(seq))
    lose(standing.patient)
    for seq in (1 << 20, (1 << 20) + 1, (1 << 20) + 5):
        standing.doctor.send(control(seq))
    assert numbers(standing.patient) == [1025, 1026, 1030]
    for seq in (2 << 20, (2 << 20) + 1):
        standing.doctor.send(control(seq))
    assert numbers(standing.patient) == [2049, 2050]


def test_a_lost_record_delays_no_other_and_an_outage_needs_no_new_handshake(standing):
    for n in range(1, 400):
        standing.doctor.send(control(n))
        if n in (5, 6) or 10 < n < 390:
            lose(standing.patient)
        else:
            assert standing.exchange(n * S)["patient"] == [control(n)]
    assert set(standing.patient.faults + standing.doctor.faults) <= {"not-yet"}


def test_what_is_replayed_altered_or_made_up_is_not_accepted(standing):
    standing.doctor.send(control(1))
    (record,) = lose(standing.patient)
    altered = bytearray(record)
    altered[100] ^= 1
    made_up = record[:10] + b"\x09" + record[11:]
    for foul in (bytes(altered), record, record, made_up, record[:40], bytes(5), b"\x17" * 60):
        standing.doctor._sock.send(foul)
    accepted, refused = [], []
    with contextlib.suppress(BlockingIOError):
        while True:
            try:
                accepted.append(standing.patient.take())
            except ValueError as error:
                refused.append(str(error))
    assert (accepted, refused) == ([control(1)], ["shorter than a record"])
    assert standing.patient.faults["not-accepted"] == 5
    standing.doctor.send(control(2))
    assert standing.exchange()["patient"] == [control(2)]


def test_nothing_leaves_before_the_session_stands_and_nothing_blocks(kit, identities):
    with Ends(kit.standin.CONTROL, identities) as ends:
        ends.doctor.send(control(0))
        ends.patient.send(control(0))
        assert lose(ends.patient) == lose(ends.doctor) == []
        assert ends.doctor.faults["not-yet"] == ends.patient.faults["not-yet"] == 1
        ends.until(0)
        ends.exchange()
        assert ends.doctor.stands
        ends.patient.send(control(1))  # not before a record showed that the client's side stands
        assert lose(ends.doctor) == []
        ends.doctor.send(control(2))
        ends.exchange()
        assert ends.patient.stands


@pytest.mark.parametrize("flight", range(4))
def test_a_handshake_of_which_any_flight_is_lost_begins_anew(kit, identities, flight):
    with Ends(kit.standin.CONTROL, identities) as ends:
        ends.until(0)
        for number in range(flight + 1):
            there = ends.patient if number % 2 == 0 else ends.doctor
            assert (lose if number == flight else taken)(there) is not None
        ends.exchange(S)
        assert not ends.doctor.stands
        ends.exchange(dtls.TRY_NS + S)
        ends.doctor.send(control(3))
        assert ends.exchange(6 * S)["patient"] == [control(3)]
        ends.patient.send(control(4))
        assert ends.exchange(6 * S)["doctor"] == [control(4)]


def test_a_lost_flight_is_sent_again_by_openssls_own_timer(kit, identities):
    with Ends(kit.standin.CONTROL, identities) as ends:
        ends.until(0)
        (hello,) = lose(ends.patient)
        time.sleep(1.05)  # RFC 6347, 4.2.4.1: the first timeout is 1 s
        ends.until(dtls.TICK_NS)
        (again,) = lose(ends.patient)
        assert again[27:59] == hello[27:59]
        assert again[5:11] != hello[5:11]  # in a record of a new number
        ends.doctor._sock.send(again)
        ends.exchange(2 * dtls.TICK_NS)
        assert ends.doctor.stands


def test_the_source_of_a_stream_opens_its_session_and_the_other_side_need_not_speak(
    kit, identities
):
    stream = replace(kit.standin.VIDEO, carriage="dtls", packets=1)
    with Ends(stream, identities) as ends:
        ends.exchange()
        assert ends.patient.stands
        sent = [Message(2, n, 5, n) for n in range(3)]
        for message in sent:
            ends.patient.send(message)
        assert ends.exchange()["doctor"] == sent
        assert not ends.patient.faults + ends.doctor.faults


def test_a_stranger_who_opens_a_session_ends_none_that_stands(standing):
    stranger = credentials.identities("stand-in")["doctor"]
    session = SSL.Connection(dtls.dtls_context(stranger))
    session.set_ciphertext_mtu(1400)
    session.set_connect_state()
    with pytest.raises(SSL.WantReadError):
        session.do_handshake()
    standing.doctor._sock.send(session.bio_read(2000))
    standing.doctor.send(control(9))
    assert standing.exchange()["patient"] == [control(9)]
    standing.patient.send(control(5))
    assert standing.exchange()["doctor"] == [control(5)]


def gateway(ends, shown):
    """A false gateway on the way between both ends, and towards whom it opened a session."""
    opened = []
    there = {"patient": ends.doctor._sock, "doctor": ends.patient._sock}  # whose reaches whom
    made = Interceptor(
        shown, "patient", lambda side, datagram: there[side].send(datagram), opened.append
    )

    def step(now_ns):
        """What each side says passes the gateway; what it does to them comes of it."""
        ends.until(now_ns)
        for _ in range(8):
            for side, carriage in (("patient", ends.patient), ("doctor", ends.doctor)):
                taken(carriage)
                passed, said[side][:] = list(said[side]), []
                for each in passed:
                    made.hear(side, each)

    said = {"patient": [], "doctor": []}
    for side, carriage in (("patient", ends.patient), ("doctor", ends.doctor)):
        carriage._sock = Overheard(carriage._sock, said[side])
    return made, opened, step


class Overheard:
    """A socket of which every datagram sent is kept beside."""

    def __init__(self, sock, kept):
        self._sock, self._kept = sock, kept

    def send(self, data):
        self._kept.append(bytes(data))
        return self._sock.send(data)

    def __getattr__(self, name):
        return getattr(self._sock, name)


def test_a_false_gateway_is_refused_while_a_session_stands(standing):
    gate, opened, step = gateway(standing, credentials.identities("stand-in"))
    for number in range(3):
        gate.begin()
        step(number * S)
    assert opened == []
    assert len(gate.refused) == 3
    assert standing.patient.faults["refused (certificate verify failed)"] == 3
    standing.doctor.send(control(1))
    assert standing.exchange(4 * S)["patient"] == [control(1)]
    assert not standing.doctor.faults["closed"]


def test_a_gateway_whom_a_device_believes_is_found_out(standing, identities):
    """Nothing but the check of the certificate keeps it out: with the right authority it is in."""
    gate, opened, step = gateway(standing, identities)
    gate.begin()
    step(0)
    assert (opened, gate.refused) == (["patient"], [])


@pytest.mark.parametrize("believed", [False, True])
def test_a_gateway_that_answers_in_the_servers_place(kit, identities, believed):
    shown = identities if believed else credentials.identities("stand-in")
    with Ends(kit.standin.CONTROL, identities) as ends:
        _, opened, step = gateway(ends, shown)

        def swallow():
            ends.patient._sock.recv(65535)
            raise BlockingIOError

        ends.patient.take = swallow  # nothing reaches the server
        step(0)
        assert opened == (["doctor"] if believed else [])
        assert ends.doctor.faults["refused (certificate verify failed)"] == (not believed)
        assert ends.doctor.stands == believed


def rubbish(seed):
    """Datagrams that look like records of every kind, and are none of this session's."""
    rng = random.Random(seed)
    for _ in range(200):
        body = rng.randbytes(rng.choice((0, 1, 12, 25, 60, 300)))
        kind, epoch = rng.choice((20, 21, 22, 23, 24, 0)), rng.choice((0, 1, 2))
        size = rng.choice((len(body), 0, 65535))
        yield (bytes((kind, 0xFE, 0xFD)) + epoch.to_bytes(2, "big") + rng.randbytes(6)
               + size.to_bytes(2, "big") + body)  # fmt: skip
        yield rng.randbytes(rng.randrange(1, 100))


@pytest.mark.parametrize("stands", [False, True])
def test_rubbish_ends_no_session_and_keeps_none_from_coming_about(kit, identities, stands):
    with Ends(kit.standin.CONTROL, identities) as ends:
        if stands:
            ends.exchange()
            ends.doctor.send(control(1))
            ends.exchange()
        else:
            ends.until(0)
        for near, far in ((ends.doctor, ends.patient), (ends.patient, ends.doctor)):
            for datagram in rubbish(7):
                near._sock.send(datagram)
                with contextlib.suppress(BlockingIOError):
                    for _ in range(5):
                        with contextlib.suppress(ValueError):
                            assert far.take() is None
        if stands:
            assert ends.doctor.stands
            assert ends.patient.stands
        for step in range(1, 4):
            ends.exchange(step * (dtls.TRY_NS + S))
        ends.doctor.send(control(2))
        assert ends.exchange()["patient"] == [control(2)]
        ends.patient.send(control(3))
        assert ends.exchange()["doctor"] == [control(3)]


REFUSALS = {
    "expired": "certificate verify failed",
    "foreign": "certificate verify failed",
    "misnamed": "certificate verify failed",
    "purpose": "certificate verify failed",
    "none": "peer did not return a certificate",
}


@pytest.mark.parametrize("fault", REFUSALS)
@pytest.mark.parametrize("side", ["doctor", "patient"])
def test_a_peer_without_a_good_certificate_is_refused_by_openssl(kit, fault, side):
    ours, stranger = credentials.Authority("tests"), credentials.Authority("tests")
    good, bad = ("patient", "doctor") if side == "doctor" else ("doctor", "patient")
    wrong = kit.identity(
        bad, authority=stranger if fault == "foreign" else ours, shown=fault, anchor=ours
    )
    with Ends(kit.standin.CONTROL, {good: kit.identity(good, authority=ours), bad: wrong}) as ends:
        ends.exchange(S)
        ends.doctor.send(control(1))
        ends.patient.send(control(1))
        assert ends.exchange(2 * S) == {"doctor": [], "patient": []}
        assert not ends.patient.stands
        refused = ends.patient if side == "doctor" else ends.doctor
        if side == "patient" and fault == "none":
            # A server without a certificate has no suite in common with anybody.
            assert ends.patient.faults["refused (no shared cipher)"]
        else:
            assert refused.faults[f"refused ({REFUSALS[fault]})"] == 1
        ends.exchange(2 * dtls.TRY_NS)  # and again, as often as it tries
        assert sum(n for name, n in refused.faults.items() if name.startswith("refused")) >= 2


def test_no_private_key_is_ever_written(identities):
    for each in identities.values():
        with pytest.raises(TypeError, match="pickle"):
            pickle.dumps(each.key)
