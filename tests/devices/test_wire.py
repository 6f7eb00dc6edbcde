"""The simulated devices' wire format: what goes in comes out, what is foreign is refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.devices import rtp
from bench.devices.ports import Message
from bench.devices.wire import HEADER, decode, encode

BODIES = st.none() | st.dictionaries(st.text(max_size=4), st.integers() | st.booleans(), max_size=4)


@given(
    stream=st.integers(0, 255),
    seq=st.integers(0, 2**32 - 1),
    sent_ns=st.integers(0, 2**64 - 1),
    value=st.integers(-(2**31), 2**31 - 1),
    body=BODIES,
    padding=st.integers(0, 300),
)
def test_round_trip(stream, seq, sent_ns, value, body, padding):
    message = Message(stream, seq, sent_ns, value, body)
    payload = encode(message, 600 + padding)
    assert len(payload) == 600 + padding
    assert decode(payload) == message


@given(st.binary(max_size=80))
def test_foreign_bytes_are_refused_or_decoded_but_never_crash(payload):
    try:
        message = decode(payload)
    except ValueError:
        return
    assert payload[:3] == b"TB\x01"
    assert isinstance(message, Message)


def test_a_body_that_does_not_fit_is_refused():
    with pytest.raises(ValueError, match="do not fit"):
        encode(Message(0, 0, 0, 0, {"a": "x" * 50}), HEADER.size + 10)


@given(
    stream=st.integers(0, 255),
    seq=st.integers(0, 2**32 - 1),
    sent_ns=st.integers(0, 2**64 - 1),
    value=st.integers(-(2**31), 2**31 - 1),
    tag=st.integers(-(2**63), 2**63 - 1),
    packets=st.integers(1, 100),
)
def test_rtp_round_trip_and_header_by_the_book(stream, seq, sent_ns, value, tag, packets):
    message = Message(stream, seq, sent_ns, value, None, tag)
    payload = rtp.encode(message, 1200, packets)
    assert len(payload) == 1200
    assert rtp.decode(payload) == message
    # RFC 3550, 5.1, bit by bit
    assert payload[0] >> 6 == 2
    assert payload[0] & 0x3F == 0x10  # an extension, nothing else
    assert payload[1] & 0x7F == 96
    assert payload[1] >> 7 == (seq % packets == packets - 1)
    assert int.from_bytes(payload[2:4], "big") == seq % 2**16
    assert int.from_bytes(payload[4:8], "big") == sent_ns * 9 // 100_000 % 2**32
    # RFC 8285, 4.2: elements of one byte's head, to the end of the extension
    assert payload[12:14] == b"\xbe\xde"
    end = 16 + 4 * int.from_bytes(payload[14:16], "big")
    at, found = 16, {}
    while at < end:
        if payload[at] == 0:
            at += 1
            continue
        size = (payload[at] & 15) + 1
        found[payload[at] >> 4] = payload[at + 1 : at + 1 + size]
        at += 1 + size
    assert at == end == rtp.HEADER_BYTES
    assert found[1][:4] == seq.to_bytes(4, "big")
    assert found[2] == tag.to_bytes(8, "big", signed=True)


def test_rtp_of_a_frame_has_one_timestamp_and_one_marker():
    packets = [rtp.encode(Message(3, n, 7_000_000 * (n // 14)), 1200, 14) for n in range(28)]
    assert [n for n, packet in enumerate(packets) if packet[1] & 0x80] == [13, 27]
    assert [int.from_bytes(p[4:8], "big") for p in packets] == [0] * 14 + [630] * 14


@given(st.binary(max_size=80), st.integers(0, 43), st.integers(0, 255))
def test_rtp_of_others_and_altered_headers_are_refused_or_decoded_but_never_crash(
    payload, place, byte
):
    altered = bytearray(rtp.encode(Message(3, 70_000, 5, 6, None, 7), 44, 14))
    altered[place] = byte
    for each in (payload, bytes(altered)):
        try:
            message = rtp.decode(each)
        except ValueError:
            continue
        assert isinstance(message, Message)
        assert each[0] == 0x90


def test_rtp_carries_no_body_and_needs_room():
    with pytest.raises(ValueError, match="body"):
        rtp.encode(Message(3, 0, 0, 0, {"a": 1}), 1200, 1)
    with pytest.raises(ValueError, match="44 bytes"):
        rtp.encode(Message(3, 0, 0), 43, 1)
    for number in (0x0, 0x10000):  # the low 16 bits say what the extension says
        payload = bytearray(rtp.encode(Message(3, number, 0), 44, 1))
        payload[3] ^= 1
        with pytest.raises(ValueError, match="contradict"):
            rtp.decode(bytes(payload))
