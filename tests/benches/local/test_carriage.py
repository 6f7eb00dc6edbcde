"""What carries a stream between the two sides: each carriage by itself, over loopback sockets."""

from __future__ import annotations

import select
from dataclasses import replace

import pytest

from bench.benches.local.carriage import OPENERS, Place, datagram
from bench.benches.local.port import LocalPort
from bench.devices.ports import Message


@pytest.fixture(autouse=True)
def on_loopback(monkeypatch):
    """Addresses of the loopback interface, which every host has."""
    monkeypatch.setattr(
        datagram, "address", lambda link, side: f"127.77.{link}.{1 if side == 'patient' else 2}"
    )


class Ends:
    """Both ends of one stream's carriage, and the timers that they asked for."""

    def __init__(self, stream):
        self.timers = []
        self.doctor, self.patient = (
            OPENERS[stream.carriage](
                Place(stream, 0, side, lambda t_ns, call: self.timers.append((t_ns, call)))
            )
            for side in ("doctor", "patient")
        )

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
    with Ends(kit.standin.CONTROL) as ends:
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


def test_a_port_says_what_its_carriages_met_by_stream(kit):
    profile = kit.session(1.0).device
    port = LocalPort(profile, "doctor", 2)
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


def test_the_profile_says_which_carriage(kit):
    with pytest.raises(KeyError):
        Ends(replace(kit.standin.CONTROL, carriage="pigeon"))
