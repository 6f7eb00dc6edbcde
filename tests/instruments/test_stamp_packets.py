"""STAMP on the wire: the figures of RFC 8762 and RFC 8972 octet by octet, and laws of all bytes."""

from __future__ import annotations

import contextlib
import hashlib
import struct

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from instruments.probes.clock_state import clock_state
from instruments.probes.stamp_packets import (
    AUTHENTICATED_BYTES,
    BASE_BYTES,
    PacketError,
    ReflectedPacket,
    TestPacket,
    decode_reflected,
    decode_test,
    encode_reflected,
    encode_test,
)
from instruments.probes.stamp_time import ErrorEstimate, decode_time, encode_time
from instruments.probes.stamp_tlvs import (
    INTEGRITY,
    MALFORMED,
    UNRECOGNISED,
    Tlv,
    extra_padding,
    flagged,
    integrity,
    reflect,
    split,
)

KEY = bytes(range(32))

# 2026-11-21 11:57:29.25 UTC: 4 004 251 049.25 s since 1900.
T_NS = 1_795_262_249_250_000_000
NTP = "eeac05a9 40000000"
PTP = "6b018729 0ee6b280"


def octets(text: str) -> bytes:
    return bytes.fromhex(text.replace("\n", " "))


def slow_hmac(key: bytes, data: bytes) -> bytes:
    """RFC 2104, 2, written out, truncated as RFC 4868 does."""
    block = (hashlib.sha256(key).digest() if len(key) > 64 else key).ljust(64, b"\0")
    inner = hashlib.sha256(bytes(b ^ 0x36 for b in block) + data).digest()
    return hashlib.sha256(bytes(b ^ 0x5C for b in block) + inner).digest()[:16]


# ---- figures


def test_an_unauthenticated_test_packet_is_the_figure_of_rfc_8972_3():
    packet = TestPacket(0x01020304, T_NS, ErrorEstimate(True, False, 5, 0x7F), 0xABCD)
    wire = octets(f"01020304 {NTP} 857f abcd" + " 00" * 28)
    assert encode_test(packet) == wire
    assert decode_test(wire) == packet
    assert len(wire) == BASE_BYTES == 44


def test_an_unauthenticated_reflected_packet_is_the_figure_of_rfc_8972_3():
    packet = ReflectedPacket(
        sequence=0x01020304,
        t_ns=T_NS + 1_000_000_000,
        error=ErrorEstimate(False, False, 63, 1),
        ssid=0xABCD,
        received_ns=T_NS,
        sender_sequence=0x0A0B0C0D,
        sender_time=0x1122334455667788,
        sender_error=0x8001,
        ttl=0x3F,
    )
    wire = octets(
        f"""01020304 eeac05aa 40000000 3f01 abcd {NTP}
        0a0b0c0d 11223344 55667788 8001 0000 3f 000000"""
    )
    assert encode_reflected(packet) == wire
    assert decode_reflected(wire) == packet
    assert len(wire) == BASE_BYTES


def test_an_authenticated_test_packet_is_the_figure_of_rfc_8762_4_2_2():
    packet = TestPacket(7, T_NS, ErrorEstimate(False, True, 0, 1), 0x0102)
    head = octets("00000007" + " 00" * 12 + f" {PTP} 4001 0102" + " 00" * 68)
    wire = encode_test(packet, KEY)
    assert wire == head + slow_hmac(KEY, head)
    assert len(wire) == AUTHENTICATED_BYTES == 112
    assert decode_test(wire, KEY) == packet


def test_an_authenticated_reflected_packet_is_the_figure_of_rfc_8762_4_3_2():
    packet = ReflectedPacket(
        sequence=1,
        t_ns=T_NS,
        error=ErrorEstimate(False, False, 1, 2),
        ssid=3,
        received_ns=T_NS,
        sender_sequence=4,
        sender_time=5,
        sender_error=6,
        ttl=7,
    )
    head = octets(
        "00000001"
        + " 00" * 12
        + f" {NTP} 0102 0003"
        + " 00" * 4
        + f" {NTP}"
        + " 00" * 8
        + " 00000004"
        + " 00" * 12
        + " 0000000000000005 0006"
        + " 00" * 6
        + " 07"
        + " 00" * 15
    )
    wire = encode_reflected(packet, KEY)
    assert wire == head + slow_hmac(KEY, head)
    assert len(wire) == AUTHENTICATED_BYTES
    assert decode_reflected(wire, KEY) == packet


def test_reserved_octets_are_ignored():
    packet = TestPacket(1, T_NS, ErrorEstimate(False, False, 1, 1), 2)
    wire = bytearray(encode_test(packet))
    wire[16:] = b"\xff" * 28
    assert decode_test(bytes(wire)) == packet


def test_what_twamp_light_leaves_out_reads_as_zero():
    wire = encode_test(TestPacket(1, T_NS, ErrorEstimate(False, False, 1, 1), 2))
    assert decode_test(wire[:41]) == decode_test(wire)
    with pytest.raises(PacketError, match="too short"):
        decode_test(wire[:40])
    answer = struct.pack("!IQHHQIQH", 1, 2, 3, 0, 5, 6, 7, 8)
    assert decode_reflected(answer).ttl == 0
    with pytest.raises(PacketError, match="too short"):
        decode_reflected(answer[:-1])


# ---- times and error estimates


LAST_S = 4_233_462_143  # 2104-02-26: from then on NTP's seconds mean 1968


@given(st.integers(0, LAST_S), st.integers(0, 999_999_999), st.booleans())
@example(LAST_S, 999_999_999, False)
@example(2**31 - 1, 999_999_999, False)
@example(2_085_978_495, 999_999_999, False)  # the last ns of NTP's first era
@example(2_085_978_496, 0, False)
def test_a_time_comes_back_to_the_ns(seconds, rest_ns, ptp):
    t_ns = seconds * 1_000_000_000 + rest_ns
    assert 0 <= encode_time(t_ns, ptp) < 2**64
    assert decode_time(encode_time(t_ns, ptp), ptp) == t_ns


def test_ntp_counts_from_1900_and_ptp_from_1970():
    assert encode_time(0) >> 32 == 2_208_988_800  # RFC 5905, figure 4: 1 January 1970
    assert encode_time(0, ptp=True) == 0
    assert encode_time(1_500_000_000) & 0xFFFFFFFF == 1 << 31
    assert encode_time(1_500_000_000, ptp=True) == 1 << 32 | 500_000_000


@given(st.floats(0, 2.0**38, allow_nan=False))
def test_an_error_estimate_is_never_below_the_error_and_hardly_above(error_s):
    estimate = ErrorEstimate.of(error_s, synchronised=True)
    assert 1 <= estimate.multiplier <= 255
    assert 0 <= estimate.scale <= 63
    assert estimate.error_s >= error_s
    assert estimate.error_s <= max(error_s * (1 + 1 / 127), 2.0**-32)


@given(st.integers(0, 2**16 - 1))
def test_sixteen_bits_are_one_error_estimate(word):
    estimate = ErrorEstimate.decode(word)
    assert estimate.encode() == word
    known = estimate.multiplier != 0
    assert (estimate.error_s is not None) == known


def test_sixteen_seconds_is_what_an_unsynchronised_kernel_says():
    assert ErrorEstimate.of(16.0, synchronised=False).error_s == 16.0


def test_the_kernel_tells_of_its_clock():
    state = clock_state()
    assert state.known
    assert 0 <= state.error_s < 1e6
    assert state.synchronised or state.error_s > 0


# ---- laws


words = st.integers(0, 2**16 - 1)
estimates = words.map(ErrorEstimate.decode)
sequences = st.integers(0, 2**32 - 1)
times = st.integers(0, LAST_S * 1_000_000_000)
keys = st.none() | st.binary(min_size=16, max_size=80)


@given(sequences, times, estimates, words, keys)
def test_a_test_packet_comes_back_as_it_was(sequence, t_ns, error, ssid, key):
    packet = TestPacket(sequence, t_ns, error, ssid)
    assert decode_test(encode_test(packet, key), key) == packet


reflections = st.builds(
    ReflectedPacket, sequences, times, estimates, words, times, sequences,
    st.integers(0, 2**64 - 1), words, st.integers(0, 255),
)  # fmt: skip


@given(reflections, keys)
def test_a_reflected_packet_comes_back_as_it_was(packet, key):
    assert decode_reflected(encode_reflected(packet, key), key) == packet


@given(st.binary(max_size=200), keys)
def test_all_other_bytes_are_read_or_refused(data, key):
    for decode in (decode_test, decode_reflected):
        with contextlib.suppress(PacketError):
            decode(data, key)


@given(st.integers(0, 111), st.integers(1, 255))
def test_any_changed_octet_is_noticed_with_a_key(place, change):
    wire = bytearray(encode_test(TestPacket(1, T_NS, ErrorEstimate(True, False, 1, 1), 2), KEY))
    wire[place] ^= change
    with pytest.raises(PacketError, match="not authentic"):
        decode_test(bytes(wire), KEY)


# ---- what lies behind


def tlv(flags: int, kind: int, value: bytes, length: int | None = None) -> bytes:
    return struct.pack("!BBH", flags, kind, len(value) if length is None else length) + value


def test_padding_is_known_and_comes_back_without_a_flag():
    padding = extra_padding(12, b"abcdefgh")
    assert padding == tlv(UNRECOGNISED, 1, b"abcdefgh")
    assert reflect(padding, 0, 0) == tlv(0, 1, b"abcdefgh")


def test_unknown_types_come_back_as_they_were_and_say_so():
    rest = tlv(UNRECOGNISED, 2, b"where") + tlv(0, 200, b"") + extra_padding(6, b"xy")
    assert reflect(rest, 0, 0) == (
        tlv(UNRECOGNISED, 2, b"where") + tlv(UNRECOGNISED, 200, b"") + tlv(0, 1, b"xy")
    )
    assert flagged(reflect(rest, 0, 0)) == {"unrecognised": 2, "malformed": 0, "integrity": 0}


def test_nothing_is_read_behind_a_malformed_one():
    rest = extra_padding(4, b"") + tlv(UNRECOGNISED, 1, b"abc", length=9)
    assert reflect(rest, 0, 0) == tlv(0, 1, b"") + tlv(MALFORMED, 1, b"abc", length=9)
    assert reflect(b"\x80\x01\x00", 0, 0) == b"\x40\x01\x00"
    wrong = tlv(UNRECOGNISED, 8, b"short") + tlv(UNRECOGNISED, 2, b"unread")
    assert reflect(wrong, 0, 0, KEY) == (
        tlv(MALFORMED, 8, b"short") + tlv(UNRECOGNISED, 2, b"unread")
    )


def test_zeros_are_the_padding_of_twamp_light():
    assert reflect(bytes(57), 0, 0) == bytes(57)
    assert flagged(bytes(57)) == {"unrecognised": 0, "malformed": 0, "integrity": 0}


def test_signed_extensions_are_checked_and_signed_anew():
    first = Tlv(UNRECOGNISED, 2, 5, b"where")
    signature = slow_hmac(KEY, struct.pack("!I", 9) + first.encode())
    assert integrity(9, [first], KEY) == signature
    rest = first.encode() + tlv(UNRECOGNISED, 8, signature) + extra_padding(5, b"!")
    again = slow_hmac(KEY, struct.pack("!I", 4) + tlv(UNRECOGNISED, 2, b"where"))
    assert reflect(rest, 9, 4, KEY) == (
        tlv(UNRECOGNISED, 2, b"where") + tlv(0, 8, again) + tlv(0, 1, b"!")
    )


@pytest.mark.parametrize("wrong", ["number", "missing", "key"])
def test_extensions_that_are_not_rightly_signed_come_back_with_i(wrong):
    first = Tlv(UNRECOGNISED, 2, 5, b"where")
    key = KEY[::-1] if wrong == "key" else KEY
    signature = Tlv(UNRECOGNISED, 8, 16, integrity(9, [first], key)).encode()
    rest = first.encode() + (b"" if wrong == "missing" else signature)
    answer = reflect(rest, 8 if wrong == "number" else 9, 4, KEY)
    assert all(each.flags & INTEGRITY for each in split(answer))
    assert len(answer) == len(rest)


def test_padding_alone_needs_no_signature():
    assert reflect(extra_padding(8, b"abcd"), 1, 1, KEY) == tlv(0, 1, b"abcd")


def test_without_a_key_a_signature_is_unknown():
    rest = tlv(UNRECOGNISED, 8, bytes(range(16)))
    assert reflect(rest, 1, 1) == rest


@given(st.binary(max_size=120), sequences, sequences, keys)
def test_what_lies_behind_comes_back_as_long_as_it_was(rest, received, sent, key):
    answer = reflect(rest, received, sent, key)
    assert len(answer) == len(rest)
    assert b"".join(each.encode() for each in split(rest)) == rest


no_signature = st.integers(0, 255).filter(lambda kind: kind != 8)


@given(st.lists(st.tuples(st.integers(0, 255), no_signature, st.binary(max_size=9)), max_size=6))
def test_well_formed_extensions_keep_types_and_values(parts):
    rest = b"".join(tlv(*part) for part in parts)
    back = split(reflect(rest, 0, 0)) if any(rest) else split(rest)
    assert [(each.type, each.value) for each in back] == [part[1:] for part in parts]
    if any(rest):
        assert all(each.flags == (0 if each.type == 1 else UNRECOGNISED) for each in back)
