"""The attack process on real frames: a station between two veth pairs, orders over its socket."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Iterator

from instruments.attacks.messages import LARGEST, Station, channel, packed, stand, unpacked

DOCTOR, PATIENT = "02:00:4d:00:00:02", "02:00:4d:00:00:01"
OWN, ALTERED = "02:00:4d:a7:00:01", "02:00:4d:a7:00:02"
STATION = Station("fa", "fb", (PATIENT, "10.77.0.1"), (DOCTOR, "10.77.0.2"), OWN, ALTERED)
PORT = 7001
MS = 1_000_000


def ones_sum(data: bytes) -> int:
    """RFC 1071, by itself: 0xFFFF over a packet whose checksum is right."""
    total = sum(struct.unpack(f"!{(len(data) + 1) // 2}H", data + b"\0" * (len(data) % 2)))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total


def sums_are_right(frame: bytes) -> bool:
    pseudo = frame[26:34] + struct.pack("!BBH", 0, 17, len(frame) - 34)
    return (
        ones_sum(frame[14:34]) == 0xFFFF
        and ones_sum(pseudo + frame[34:]) == 0xFFFF
        and frame[40:42] != b"\0\0"
    )


def udp(payload: bytes, port: int = PORT, to: str = PATIENT, by: str = DOCTOR) -> bytes:
    """A frame of the doctor's side as its kernel would make it, TTL 63 and DSCP set."""
    ends = ["10.77.0.2", "10.77.0.1"] if by == DOCTOR else ["10.77.0.1", "10.77.0.2"]
    addresses = b"".join(map(socket.inet_aton, ends))
    body = struct.pack("!HHHH", port, port, 8 + len(payload), 0) + payload
    pseudo = addresses + struct.pack("!BBH", 0, 17, len(body))
    body = body[:6] + struct.pack("!H", 0xFFFF - ones_sum(pseudo + body)) + body[8:]
    head = struct.pack("!BBHHHBBH", 0x45, 0xB8, 20 + len(body), 77, 0x4000, 63, 17, 0) + addresses
    head = head[:10] + struct.pack("!H", 0xFFFF - ones_sum(head)) + head[12:]
    macs = bytes.fromhex((to + by).replace(":", ""))
    return macs + b"\x08\x00" + head + body


class Hop:
    """The attack process between ``pa`` (the doctor's side) and ``pb``; what it says."""

    def __init__(self, wire: type) -> None:
        wires = wire()
        self.doctor, self.patient = wires.a, wires.b
        self.socket, theirs = channel()
        with theirs:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "instruments.attacks", str(theirs.fileno()),
                 str(os.getpid())],
                pass_fds=[theirs.fileno()],
            )  # fmt: skip
        self.tell(stand([STATION], [36]))
        self.said: list[tuple[dict, bytes]] = []
        self.hear("ready", 20.0)

    def tell(self, data: dict, payload: bytes = b"") -> None:
        self.socket.send(packed(data, payload))

    def hear(self, what: str, within_s: float = 5.0) -> tuple[dict, bytes]:
        """The next thing of that kind it says; others are kept in ``said``."""
        deadline = time.monotonic() + within_s
        while (left := deadline - time.monotonic()) > 0:
            if not select.select([self.socket], [], [], left)[0]:
                break
            data = self.socket.recv(LARGEST)
            assert data, "the attack process ended"
            said, payload = unpacked(data)
            if said["is"] == what:
                return said, payload
            self.said.append((said, payload))
        raise AssertionError(f"it never said {what}")

    def ask(self, within_ns: int = 10_000 * MS) -> None:
        flow = {"link": 0, "way": 0, "port": PORT}
        when = {"from_ns": time.monotonic_ns(), "within_ns": within_ns}
        self.tell({"do": "ask", **flow, **when})
        self.settle()

    def settle(self) -> None:
        """Wait until it has heard all that it was told: it answers the last."""
        self.tell({"do": "send", "link": 0, "way": 0, "port": 9, "source": "10.80.0.1"}, b"heard")
        assert arrived(self.patient, 1)[0][42:] == b"heard"

    def answer(self, number: int, payload: bytes = b"", **changes: object) -> None:
        plain = {"do": "answer", "id": number, "held_ns": 0, "altered": False}
        self.tell({**plain, **changes}, payload)

    def end(self) -> dict:
        self.tell({"do": "end"})
        done, _ = self.hear("done")
        assert self.process.wait(5.0) == 0
        return done


def arrived(sock: socket.socket, count: int, within_s: float = 3.0) -> list[bytes]:
    """``count`` frames, and one more if more come within 50 ms."""
    found: list[bytes] = []
    deadline = time.monotonic() + within_s
    while True:
        left = 0.05 if len(found) >= count else deadline - time.monotonic()
        if left <= 0 or not select.select([sock], [], [], left)[0]:
            return found
        found.append(sock.recv(2048))
        if len(found) > count:
            return found


@contextlib.contextmanager
def standing(wire: type) -> Iterator[Hop]:
    hop = Hop(wire)
    try:
        yield hop
    finally:
        hop.process.kill()


def what_is_not_attacked_passes_as_it_is_both_ways_in_order(hop):
    frames = [udp(bytes([n]) * (20 + n)) for n in range(40)]
    frames += [b"\xff" * 6 + b"\x02" * 6 + b"\x08\x06" + bytes(28)]  # ARP
    frames += [b"\x02" * 12 + b"\x88\xb5" + bytes(range(200))]
    for frame in frames:
        hop.doctor.send(frame)
    assert arrived(hop.patient, len(frames)) == frames
    back = [udp(bytes(9), to=DOCTOR, by=PATIENT), *frames[-1:]]
    for frame in back:
        hop.patient.send(frame)
    assert arrived(hop.doctor, 2) == back
    assert hop.said == []


def a_packet_is_changed_on_the_way_with_right_checksums_and_order_is_kept(hop):
    hop.ask()
    sent = [udp(bytes([n]) * 36) for n in range(4)]
    other = udp(bytes(20), port=7000)
    for frame in (*sent[:2], other):
        hop.doctor.send(frame)
    asked, payload = hop.hear("asked")
    assert payload == sent[0][42:]
    assert abs(time.monotonic_ns() - asked["t_ns"]) < 1_000 * MS
    hop.answer(asked["id"], b"\x80" + payload[1:], altered=True)
    first = arrived(hop.patient, 3)
    assert first[0] == other  # another flow does not wait
    changed = first[1]
    assert changed[42:] == b"\x80" + sent[0][43:]
    assert changed[6:12].hex(":") == ALTERED
    assert changed[:6] + changed[12:24] == sent[0][:6] + sent[0][12:24]  # DSCP, id, TTL
    assert changed[26:40] == sent[0][26:40]
    assert sums_are_right(changed)
    assert first[2] == sent[1]
    hop.doctor.send(sent[2])
    assert arrived(hop.patient, 1) == [sent[2]]  # one was asked for, no more


def later_packets_overtake_one_that_is_held_back(hop):
    hop.ask()
    sent = [udp(bytes([n]) * 36) for n in range(3)]
    for frame in sent:
        hop.doctor.send(frame)
    asked, _ = hop.hear("asked")
    hop.answer(asked["id"], held_ns=300 * MS, altered=True)
    found = arrived(hop.patient, 3)
    assert found[:2] == sent[1:]
    assert found[2][12:] == sent[0][12:]
    assert found[2][6:12].hex(":") == ALTERED


def an_unanswered_packet_and_those_behind_it_pass_as_they_are(hop):
    hop.ask(within_ns=20 * MS)
    sent = [udp(bytes([n]) * 36) for n in range(3)]
    for frame in sent:
        hop.doctor.send(frame)
    asked, _ = hop.hear("asked")
    assert arrived(hop.patient, 3) == sent
    hop.answer(asked["id"], bytes(36), altered=True)  # too late
    assert arrived(hop.patient, 0, 0.2) == []


def packets_are_made_up_from_any_address_and_bounded_in_rate(hop):
    for source, way, sock in (("10.80.0.101", 0, hop.patient), ("10.77.0.1", 1, hop.doctor)):
        flow = {"link": 0, "way": way, "port": PORT}
        hop.tell({"do": "send", **flow, "source": source}, b"order")
        (frame,) = arrived(sock, 1)
        assert socket.inet_ntoa(frame[26:30]) == source
        assert frame[30:34] == socket.inet_aton(f"10.77.0.{1 + way}")
        assert frame[:12].hex(":") == f"{DOCTOR if way else PATIENT}:{OWN}"
        assert frame[34:38] == struct.pack("!HH", PORT, PORT)
        assert frame[42:] == b"order"
        assert sums_are_right(frame)
    for n in range(3000):
        flow = {"link": 0, "way": 0, "port": PORT, "source": "10.80.35.40"}
        hop.tell({"do": "send", **flow}, n.to_bytes(4, "big"))


def what_is_for_an_attacker_goes_to_it_and_no_further(hop):
    answer = udp(b"welcome", to=OWN, by=PATIENT)
    hop.patient.send(answer)
    hop.patient.send(udp(b"state", to=DOCTOR, by=PATIENT))
    said, payload = hop.hear("arrived")
    assert payload == b"welcome"
    assert (said["link"], said["way"], said["target"]) == (0, 1, "10.77.0.2")
    assert [frame[42:] for frame in arrived(hop.doctor, 1)] == [b"state"]


def a_watched_flow_is_told_of_and_no_other(hop):
    hop.tell({"do": "watch", "way": 0, "port": PORT, "most_per_s": 0})
    hop.tell({"do": "watch", "way": 1, "port": PORT, "most_per_s": 1})
    hop.settle()
    for n in range(5):
        hop.doctor.send(udp(bytes([n])))
        hop.doctor.send(udp(bytes([n]), port=7000))
        hop.patient.send(udp(bytes([n]), to=DOCTOR, by=PATIENT))
    assert len(arrived(hop.patient, 10)) == 10
    done = hop.end()
    assert (done["dropped"], done["failed"], done["untold"]) == (0, 0, 0)
    told = [(said["way"], payload) for said, payload in hop.said if said["is"] == "passed"]
    assert [payload for way, payload in told if way == 0] == [bytes([n]) for n in range(5)]
    assert 1 <= sum(way for way, _ in told) <= 3  # one a second


def tcp(payload: bytes, ports: tuple[int, int], to: str = PATIENT, by: str = DOCTOR) -> bytes:
    """A frame with a segment with 12 bytes of options, padded as short frames are."""
    head = udp(b"", to=to, by=by)[:34]
    body = struct.pack("!HHIIHHHH12x", *ports, 1, 7, 0x8018, 100, 0, 0) + payload
    head = head[:16] + struct.pack("!H", 20 + len(body)) + head[18:23] + b"\6" + head[24:]
    return (head + body).ljust(60, b"\0")


def segments_with_data_of_a_port_are_told_of_whichever_end_it_is(hop):
    for way in (0, 1):
        hop.tell({"do": "watch", "way": way, "port": 7003, "most_per_s": 0, "protocol": "tcp"})
    hop.settle()
    forth = [tcp(b"", (40000, 7003)), tcp(b"hello", (40000, 7003)), tcp(b"other", (40000, 7004)),
             udp(b"datagram", port=7003)]  # fmt: skip
    back = [tcp(b"welcome", (7003, 40000), to=DOCTOR, by=PATIENT)]
    for frame in forth:
        hop.doctor.send(frame)
    hop.patient.send(back[0])
    assert arrived(hop.patient, 4) == forth
    assert arrived(hop.doctor, 1) == back
    told = [hop.hear("segment") for _ in range(2)]
    assert sorted((said["way"], said["port"], payload) for said, payload in told) == [
        (0, 7003, b"hello"), (1, 7003, b"welcome"),
    ]  # fmt: skip


def it_claims_the_other_sides_address(hop):
    hop.tell({"do": "announce", "link": 0, "way": 0})
    (frame,) = arrived(hop.patient, 1)
    assert frame[:14].hex(":") == f"{PATIENT}:{OWN}:08:06"
    assert frame[20:22] == b"\0\x02"  # an answer
    assert frame[22:32].hex() == OWN.replace(":", "") + socket.inet_aton("10.77.0.2").hex()


def test_frames_pass_unchanged_and_some_are_told_of(isolated, wire):
    def checks():
        with standing(wire) as hop:
            what_is_not_attacked_passes_as_it_is_both_ways_in_order(hop)
            what_is_for_an_attacker_goes_to_it_and_no_further(hop)
            it_claims_the_other_sides_address(hop)
            segments_with_data_of_a_port_are_told_of_whichever_end_it_is(hop)
            a_watched_flow_is_told_of_and_no_other(hop)

    isolated(checks)


def test_packets_are_altered_held_back_and_made_up(isolated, wire):
    def checks():
        with standing(wire) as hop:
            a_packet_is_changed_on_the_way_with_right_checksums_and_order_is_kept(hop)
            later_packets_overtake_one_that_is_held_back(hop)
            an_unanswered_packet_and_those_behind_it_pass_as_they_are(hop)
            packets_are_made_up_from_any_address_and_bounded_in_rate(hop)
            done = hop.end()
            assert (done["altered"], done["unanswered"]) == (2, 1)
            assert done["refused"] > 0
            assert done["made"] + done["refused"] == 3002 + 3

    isolated(checks)


def test_it_ends_with_the_bench_and_with_who_started_it(isolated, wire):
    def check():
        hop = Hop(wire)
        hop.socket.close()
        assert hop.process.wait(5.0) == 0
        read, write = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.write(write, str(Hop(wire_again).process.pid).encode())
            signal.pause()
        other = int(os.read(read, 32))
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        deadline = time.monotonic() + 5.0
        while time.monotonic() < deadline:
            with open(f"/proc/{other}/stat") as file:
                if file.read().rpartition(")")[2].split()[0] == "Z":
                    return
            time.sleep(0.01)

    class Existing:
        a = b = None

    def wire_again():
        return Existing()

    isolated(check)
