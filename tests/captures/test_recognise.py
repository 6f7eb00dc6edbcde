"""A device's streams are recognised by port, first bytes, and numbered by their application."""

from __future__ import annotations

import struct

import pytest

from bench.captures.flows import read_capture
from bench.captures.rules import SequenceField, StreamRule

TCP, UDP = 6, 17
HAPTIC = StreamRule("haptic", UDP, 2000, b"TB\x01", SequenceField(4, 4))
VIDEO = StreamRule("video", UDP, 2000, b"TB\x02", SequenceField(3, 2, "<"))
PLAIN = StreamRule("plain", UDP, 3000)


def read(kit, tmp_path, bodies, rules, snap=262144):
    frames = [
        (n, kit.ethernet(kit.ipv4(body, protocol=protocol)))
        for n, (protocol, body) in enumerate(bodies)
    ]
    return read_capture(kit.save(tmp_path / "a.pcap", kit.pcap(frames, snap=snap)), rules=rules)


def test_the_first_rule_that_fits_and_its_number(kit, tmp_path):
    bodies = [
        (UDP, kit.udp(b"TB\x01." + struct.pack(">I", 2**32 - 1))),
        (UDP, kit.udp(b"TB\x02" + struct.pack("<H", 513))),
        (UDP, kit.udp(b"TB\x03" + bytes(9))),
        (UDP, kit.udp(b"TB\x01." + bytes(9), (2000, 1000))),
        (TCP, kit.tcp(b"TB\x01." + bytes(9))),
        (UDP, kit.udp(b"", (1, 3000))),
        (UDP, kit.udp(b"TB\x01.abc")),
        (UDP, kit.udp(b"TB")),
    ]
    found = read(kit, tmp_path, bodies, (HAPTIC, VIDEO, PLAIN))
    assert found.rule.tolist() == [0, 1, -1, -1, -1, 2, -1, -1]
    assert found.number.tolist() == [2**32 - 1, 513, 0, 0, 0, 0, 0, 0]


def test_the_earlier_of_two_rules_that_fit(kit, tmp_path):
    rules = (HAPTIC, StreamRule("any", UDP, 2000))
    bodies = [(UDP, kit.udp(b"TB\x01" + bytes(9))), (UDP, kit.udp(b"other"))]
    assert read(kit, tmp_path, bodies, rules).rule.tolist() == [0, 1]


def test_bits_that_do_not_count_are_not_compared(kit, tmp_path):
    rule = StreamRule("video", UDP, 2000, b"\x90\x60", SequenceField(2, 2), mask=b"\xff\x7f")
    starts = (b"\x90\x60", b"\x90\xe0", b"\x80\x60", b"\x90\x61")
    bodies = [(UDP, kit.udp(start + b"\x00\x09")) for start in starts]
    assert read(kit, tmp_path, bodies, (rule,)).rule.tolist() == [0, 0, -1, -1]


def test_segments_with_data_bear_tcps_own_number(kit, tmp_path):
    rule = StreamRule("records", TCP, 2000, segments=True)
    bodies = [
        (TCP, kit.tcp(b"", sequence=4)),  # an acknowledgement
        (TCP, kit.tcp(b"MSH|", sequence=5)),
        (TCP, kit.tcp(b"MSH|", sequence=5)),  # sent again
        (TCP, kit.tcp(b"x", sequence=2**32 - 1)),
        (TCP, kit.tcp(b"AA", (2000, 1000), sequence=7)),
        (UDP, kit.udp(b"MSH|")),
    ]
    found = read(kit, tmp_path, bodies, (rule,))
    assert found.rule.tolist() == [-1, 0, 0, 0, -1, -1]
    assert found.number.tolist() == [0, 5, 5, 2**32 - 1, 0, 0]


@pytest.mark.parametrize("width", [1, 2, 4, 8])
@pytest.mark.parametrize("order", ["<", ">"])
def test_numbers_of_every_width(kit, tmp_path, width, order):
    rule = StreamRule("any", UDP, 2000, b"", SequenceField(5, width, order))
    names = {1: "B", 2: "H", 4: "I", 8: "Q"}
    sent = [0, 1, 2 ** (8 * width) - 1, 0x80 << 8 * (width - 1)]
    bodies = [(UDP, kit.udp(bytes(5) + struct.pack(order + names[width], n))) for n in sent]
    assert read(kit, tmp_path, bodies, (rule,)).number.tolist() == sent


def test_a_number_that_was_cut_off_is_not_made_up(kit, tmp_path):
    bodies = [(UDP, kit.udp(b"TB\x01." + struct.pack(">I", 9) + bytes(50)))]
    headers = 14 + 20 + 8
    whole = read(kit, tmp_path, bodies, (HAPTIC,), snap=headers + 8)
    cut = read(kit, tmp_path, bodies, (HAPTIC,), snap=headers + 7)
    assert (whole.rule.tolist(), whole.number.tolist()) == ([0], [9])
    assert (cut.rule.tolist(), cut.number.tolist()) == ([-1], [0])
    assert (cut.snap_cut, whole.snap_cut) == (1, 1)


def test_without_rules_there_are_no_columns(kit, tmp_path):
    found = read(kit, tmp_path, [(UDP, kit.udp(b"x"))], ())
    assert (found.rule.shape, found.number.shape) == ((0,), (0,))
