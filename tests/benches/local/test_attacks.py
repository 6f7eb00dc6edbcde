"""Attacks on real packets: the brain at its socket, what the taps make of it, whole sessions."""

from __future__ import annotations

import socket
import struct
import threading
import time
from dataclasses import replace

import numpy as np
import pytest

from bench.benches.attacker import THIRD_PARTY
from bench.benches.base import BenchError, Nowhere
from bench.benches.local.attacking import Attacking
from bench.benches.local.channel import Receiver, Sender
from bench.benches.local.layout import ATTACKERS, attacker_hardware_address, peer_address, peer_of
from bench.benches.local.listening import heard
from bench.benches.local.payloads import overheard, payload_of
from bench.benches.local.ring import Frames
from bench.benches.local.tap import Look, Streams, rows_of
from bench.devices.association import visible
from bench.devices.ports import Message
from bench.devices.registry import find_device
from bench.devices.wire import decode, encode
from bench.measure import enciphering, securing
from bench.measure import events as ev
from bench.network.attacks import Attack
from bench.network.library.parts import recover, settle, usual_links
from bench.network.library.security import eavesdropping, unsigned_update
from bench.network.scenario import Scenario, Segment, Step
from bench.sessions.packets import TAPS
from bench.sessions.recording import Session
from bench.studies.planning import capabilities
from instruments.attacks.messages import LARGEST, channel, packed, unpacked
from tests.support import host_time

ROBOT = find_device("telesurgery-robot")
COMMAND = ROBOT.stream("haptic-command")
CONTROL = ROBOT.stream("control")
RECORD = bytes.fromhex("17fefd0001") + (70_000).to_bytes(6, "big") + (387).to_bytes(2, "big")
RECORD += bytes(range(256)) + bytes(131)
TRIES = 6
THIRD = TAPS.index("third-party")


# ---- addresses and rows


@pytest.mark.parametrize("peer", [1, 101, 255, 256, 9000, 65534])
@pytest.mark.parametrize("link", [0, 1])
def test_a_client_is_known_by_its_address(peer, link):
    assert peer_of(peer_address(link, peer)) == peer


def test_the_sides_of_the_device_are_no_clients():
    assert [peer_of(f"10.77.{link}.{side}") for link in (0, 1) for side in (1, 2)] == [0] * 4


def frame(seq: int, source: bytes, target: bytes, to: int = 1) -> bytes:
    payload = encode(Message(1, seq, 5), 36)
    udp = struct.pack("!HHHH", 7001, 7001, 8 + len(payload), 0) + payload
    ip = struct.pack("!BBHHHBBH4B4B", 0x45, 0, 20 + len(udp), 0, 0, 64, 17, 0,
                     10, 77, 0, 1, 10, 77, 0, to)  # fmt: skip
    return target + source + b"\x08\x00" + ip + udp


def test_the_taps_tell_attackers_packets_from_the_devices_own():
    device, own = bytes.fromhex("02004d000002"), ATTACKERS + b"\0\1"
    altered, patient = ATTACKERS + b"\0\2", bytes.fromhex("02004d000001")
    assert attacker_hardware_address(0, altered=True) == altered.hex(":")
    packets = [
        frame(1, device, patient), frame(2, own, patient), frame(3, altered, patient),
        frame(4, patient, own, to=9), frame(5, patient, device, to=2),
    ]  # fmt: skip
    data = np.zeros((5, 128), dtype=np.uint8)
    for row, packet in zip(data, packets, strict=True):
        row[: len(packet)] = np.frombuffer(packet, dtype=np.uint8)
    given = Frames(np.arange(5), np.array([len(p) for p in packets]), np.zeros(5, bool), data)
    rows, foreign, _ = rows_of([Look(given, 1, 0, 0)], Streams.of([("fast", 7001, 1)]))
    assert foreign == 0
    found = sorted((int(row["seq"]), int(row["tap"])) for row in rows)
    assert found == [(1, 1), (2, THIRD), (3, 1), (3, THIRD), (5, 1)]


# ---- the brain at its socket


class Table:
    """The brain in a thread, this test in the place of the attack process."""

    def __init__(self, *attacks: tuple[int, Attack], end_s: float) -> None:
        self.hands, theirs = channel()
        self.near, far = socket.socketpair()
        self.orders: list[tuple[dict, bytes]] = []
        self.t0_ns = time.monotonic_ns()
        brain = Attacking(
            ROBOT, ("primary", "standby"), attacks, theirs, Sender(far), self.t0_ns, 7
        )
        theirs.setblocking(False)
        self.thread = threading.Thread(target=brain.run, args=(int(end_s * 1e9),), daemon=True)
        self.thread.start()

    def next(self, what: str) -> tuple[dict, bytes]:
        self.hands.settimeout(5.0)
        while True:
            order, payload = unpacked(self.hands.recv(LARGEST))
            if order["do"] == what:
                return order, payload

    def say(self, what: str, message: Message, payload_bytes: int = 36, **more) -> None:
        data = {
            "is": what, "t_ns": time.monotonic_ns(), "link": 0, "way": 0, "source": "10.77.0.2",
            "target": "10.77.0.1", "port": COMMAND.port, **more,
        }  # fmt: skip
        self.hands.send(packed(data, encode(message, payload_bytes)))

    def report(self) -> tuple[dict[str, list], dict]:
        """Notes by name, and the last report."""
        self.next("end")
        counts = dict.fromkeys(("passed", "made", "dropped", "failed"), 1)
        self.hands.send(packed({"is": "done", **counts}))
        self.thread.join(5.0)
        notes: dict[str, list] = {}
        done: dict = {}
        for message in Receiver().feed(self.near.recv(1 << 20)):
            done = message.data.get("done", done)
            for _, origin, name, value in message.data.get("events", ()):
                assert origin == "bench"
                notes.setdefault(name, []).append(value)
        return notes, done


def test_it_asks_for_a_packet_only_when_an_attack_is_due_and_flips_it():
    table = Table((0, Attack("flip", count=2, rate_per_s=10.0)), end_s=0.5)
    first, _ = table.next("ask")
    assert (first["link"], first["way"], first["port"]) == (0, 0, COMMAND.port)
    message = Message(COMMAND.code, 4, 1000, 7, None, 99)
    table.say("asked", message, id=0)
    answer, payload = table.next("answer")
    assert (answer["id"], answer["altered"], answer["held_ns"]) == (0, True, 0)
    changed = decode(payload)
    assert changed == message._replace(value=changed.value)
    assert (changed.value ^ message.value).bit_count() == 1
    again, _ = table.next("ask")
    assert again["from_ns"] - first["from_ns"] >= 100_000_000
    notes, done = table.report()
    assert [note["seq"] for note in notes["attack"]] == [4]
    assert done["passed"] == 1


def test_it_holds_copies_and_makes_up():
    attacks = (
        (0, Attack("reorder", rate_per_s=10.0)),
        (100_000_000, Attack("replay", rate_per_s=10.0)),
        (150_000_000, Attack("inject", count=3, rate_per_s=50.0)),
    )
    table = Table(*attacks, end_s=0.6)
    table.next("ask")
    message = Message(COMMAND.code, 4, 1000, 7, None, 99)
    table.say("asked", message, id=0)
    answer, payload = table.next("answer")
    assert (answer["altered"], answer["held_ns"], payload) == (True, 3_000_000, b"")
    table.next("ask")
    table.say("asked", message._replace(seq=5), id=1)
    answer, payload = table.next("answer")
    assert (answer["altered"], payload) == (False, b"")
    copy, payload = table.next("send")
    assert decode(payload) == message._replace(seq=5)
    assert (copy["source"], copy["link"], copy["way"]) == ("10.77.0.2", 0, 0)
    made = [decode(table.next("send")[1]) for _ in range(3)]
    assert [bool(order.tag) for order in made] == [False, True, True]
    assert made[2].tag == 99
    assert {order.seq for order in made} == {7}
    notes, _ = table.report()
    kinds = [note["kind"] for note in notes["attack"]]
    assert kinds == ["reorder", "replay", "inject", "inject", "inject"]


def test_what_it_cannot_read_passes_and_is_counted():
    table = Table((0, Attack("flip", rate_per_s=10.0)), end_s=0.3)
    table.next("ask")
    data = {"t_ns": time.monotonic_ns(), "link": 0, "way": 0, "port": COMMAND.port}
    table.hands.send(packed({"is": "asked", "id": 0, **data}, b"\x17\xfe\xfd ciphertext"))
    answer, payload = table.next("answer")
    assert (answer["altered"], payload) == (False, b"")
    notes, done = table.report()
    assert "attack" not in notes
    assert done["unreadable"] == 1


def test_what_ought_to_be_enciphered_and_can_be_read_is_told():
    table = Table((0, Attack("listen", seconds=0.3)), end_s=0.5)
    clear = Message(CONTROL.code, 1, 5, 0, {"here": 1}, 99)
    for _ in range(5):
        table.say("passed", clear, 400, port=CONTROL.port)
    said = {"is": "segment", "t_ns": 0, "link": 0, "way": 1, "port": CONTROL.port}
    table.hands.send(packed(said, RECORD))
    notes, _ = table.report()
    flows = {(f["stream"], f["way"]): f for f in notes["overheard"][-1]["flows"]}
    assert flows["control", "to-patient"]["readable"] == 5
    assert flows["control", "to-doctor"] == {
        "stream": "control", "way": "to-doctor", "packets": 1, "marked": 1, "readable": 0,
    }  # fmt: skip


# ---- records of DTLS, to whoever has no keys


def test_a_record_is_its_number_and_can_be_copied_altered_and_made_up():
    assert len(RECORD) == CONTROL.payload_bytes
    seen = overheard(RECORD, CONTROL)
    assert (seen.stream, seen.seq) == (CONTROL.code, 70_000)
    assert not visible(seen)
    assert payload_of(seen, CONTROL) == RECORD
    for bit in range(12):
        flipped = seen._replace(value=1 << bit, body={**seen.body, "flipped": bit})
        other = payload_of(flipped, CONTROL)
        assert other[:13] == RECORD[:13]
        changed = int.from_bytes(other) ^ int.from_bytes(RECORD)
        assert changed.bit_count() == 1
    made = payload_of(Message(CONTROL.code, 70_002, 5, 50_000, None, 9), CONTROL)
    assert len(made) == len(RECORD)
    assert overheard(made, CONTROL).seq == 70_002


@pytest.mark.parametrize("payload", [RECORD[:13], b"\x16" + RECORD[1:], b"\x17\xfe\xfd"])
def test_a_handshake_and_what_is_no_record_are_not_taken_for_one(payload):
    with pytest.raises(ValueError, match=r"shorter|magic|header|version|not"):
        overheard(payload, CONTROL)


def test_further_clients_speak_in_clear_beside_it():
    hello = Message(CONTROL.code, 1, 5, 0, {"hello": {}}, 0, peer=101)
    assert decode(payload_of(hello, CONTROL)) == hello._replace(peer=0)


# ---- a listener


def server_hello(suite: int, *, dtls: bool) -> bytes:
    body = b"\xfe\xfd" + bytes(32) + b"\x04" + bytes(4) + suite.to_bytes(2, "big") + b"\0"
    if dtls:
        return b"\x16\xfe\xfd" + bytes(10) + b"\x02" + bytes(11) + body
    return b"\x16\x03\x03" + bytes(2) + b"\x02" + bytes(3) + body


@pytest.mark.parametrize("dtls", [False, True])
def test_a_listener_reads_the_suite_from_a_servers_hello(dtls):
    known = server_hello(0xC02C, dtls=dtls)
    assert heard(known, 0) == (False, False, "TLS_AES_256_GCM_SHA384")
    assert heard(server_hello(0xC0B0, dtls=dtls), 0).suite == "0xc0b0"
    assert all(heard(known[:n], 0).suite == "" for n in range(len(known) - 3))


TLS_DATA = bytes.fromhex("17030300f0")


@pytest.mark.parametrize(
    ("payload", "enciphered", "readable"),
    [
        (RECORD, True, False),
        (TLS_DATA + bytes(240), True, False),
        (TLS_DATA + b"\x0bMSH|^~\\&|MONITOR|" + bytes(200), False, True),  # a suite without cipher
        (RECORD[:21] + encode(Message(0, 1, 5), 300), False, True),
        (encode(Message(0, 1, 5, tag=9), 64), False, True),
        (encode(Message(1, 1, 5), 64), False, False),  # another stream's
        (b"\x0bMSH|^~\\&|MONITOR|", False, True),
        (b"compressed, or in a code that nobody knows", False, False),
        (b"\x16\xfe\xfd" + bytes(40), False, False),
        (b"", False, False),
    ],
)
def test_what_a_listener_makes_of_bytes(payload, enciphered, readable):
    assert heard(payload, 0) == (enciphered, readable, "")


# ---- whole sessions


def attacked(kit, *defects: str):
    """A session of the robot under tampering, and what SEC-5 finds in it."""
    links = usual_links()
    step = Step("tampering", "tampering", "beyond", (Segment("tampering", 2.5, links),))
    attacks = [
        Attack("flip", count=8, rate_per_s=4.0), Attack("replay", count=60, rate_per_s=30.0),
        Attack("reorder", count=20, rate_per_s=10.0), Attack("inject", count=60, rate_per_s=30.0),
    ]  # fmt: skip
    actions = tuple(attack.action("tampering", 0.1 + k / 20) for k, attack in enumerate(attacks))
    scenario = Scenario("tampered", "Tampered", (settle(links), step, recover(links, 0.7)), actions)
    device = ROBOT.with_defects(dict.fromkeys(defects, 0.0))
    return shown(kit, Session("tests", device, scenario, seed=7), securing.sec_5)


def shown(kit, session, judge):
    """A recording that shows something, and what was found in it."""

    def attempt():
        try:
            recording = kit.kept_bench().run(session, Nowhere())
            return recording, judge(recording, None)
        except (BenchError, ev.Cannot) as error:
            if isinstance(error, BenchError) and kit.not_ready not in str(error):
                raise
            raise host_time.NotShown(str(error)) from None

    return host_time.shown(attempt, TRIES)


def test_a_healthy_robot_executes_nothing_that_was_tampered_with(kit, local_host):
    recording, (wrong, details) = attacked(kit)
    assert wrong == 0
    assert details["executed"] > 1000
    assert all(details[f"{kind}_reached"] >= securing.SHOWN for kind in securing.TAMPERING)
    assert THIRD_PARTY in recording.health.notes
    assert recording.health.counters["patient/undecodable"] == 0  # checksums were repaired
    assert recording.health.counters["patient/receive_drops"] == 0
    refused = {event.value["reason"] for event in recording.named("refused", side="patient")}
    assert {"altered", "replayed", "in clear"} <= refused
    packets = recording.packets
    sent = packets.where(tap="doctor", direction=0, stream=COMMAND.code)
    arrived = packets.where(tap="patient", direction=0, stream=COMMAND.code)
    assert len(np.unique(arrived.column("seq"))) == len(arrived)  # no copy among its own
    assert len(arrived) <= len(sent)
    third = packets.where(tap="third-party", direction=0, stream=COMMAND.code)
    attacks = recording.named("attack")
    assert 0.95 * len(attacks) <= len(third) <= len(attacks)


def test_a_robot_that_executes_copies_is_found_out(kit, local_host):
    _, (wrong, _) = attacked(kit, "executes-replayed")
    assert wrong > 0


ALARM = next(alarm for alarm in ROBOT.alarms if alarm.name == "network-intrusion")
GATEWAY = 1_000_000
"""From here on the false gateway numbers what it says."""


def besieged(kit, *defects: str):
    """The robot behind a false gateway, offered updates, its control stream tampered with.

    Returns:
        The recording, and what SEC-3 and SEC-6 find.
    """
    offered = unsigned_update()
    attacks = [
        Attack("rogue", count=10, rate_per_s=10.0),
        Attack("flip", stream="control", count=6, rate_per_s=3.0),
        Attack("replay", stream="control", count=24, rate_per_s=12.0),
        Attack("inject", stream="control", count=40, rate_per_s=20.0),
    ]
    more = tuple(attack.action("update", 0.01 + k / 20) for k, attack in enumerate(attacks))
    scenario = replace(offered, actions=(*offered.actions, *more))
    device = ROBOT.with_defects(dict.fromkeys(defects, 0.0))
    return shown(
        kit,
        Session("tests", device, scenario, seed=7),
        lambda recording, _: (securing.sec_3(recording, ALARM), securing.sec_6(recording, None)),
    )


def test_a_healthy_robot_under_siege_takes_nothing_and_alarms(kit, local_host):
    recording, ((opened, gate), (installed, updates)) = besieged(kit)
    assert (opened, gate["accepted"]) == (0.0, 0.0)
    assert gate["alarm_s"] < ALARM.within_s
    assert (installed, updates["attempts"]) == (0.0, 3.0)
    # Its DTLS refused the gateway, which was told so by an alert ...
    assert "interceptor" in capabilities(ROBOT, "local")
    counters = recording.health.counters
    refused = counters["patient/control/refused (certificate verify failed)"]
    assert refused >= 8  # of ten
    assert counters["attacker/intercepts_refused"] >= 8
    health = replace(recording.health, counters={**counters, "attacker/intercepts_refused": 4})
    with pytest.raises(ev.Cannot, match="only 4 handshakes"):  # else it would show nothing of DTLS
        securing.sec_3(replace(recording, health=health), ALARM)
    # ... and accepted none of the records that were tampered with, clients' own packets aside.
    done = [e for e in recording.named("attack") if e.value["stream"] == CONTROL.code]
    for kind, least in (("flip", 5), ("replay", 20), ("inject", 35)):
        assert sum(e.value["kind"] == kind for e in done) >= least
    third = recording.packets.where(tap="third-party", direction=0, stream=CONTROL.code)
    seq = third.column("seq")
    tampered = np.isin(seq, [e.value["seq"] for e in done]) | (seq >= GATEWAY)
    assert np.count_nonzero(tampered) >= 0.9 * len(done)
    assert counters["patient/control/not-accepted"] == np.count_nonzero(tampered)
    assert counters["patient/undecodable"] == 0
    # Those that nobody touched went on being accepted: one session stands, all the time.
    assert (
        counters.get("doctor/control/closed", 0) == counters.get("patient/control/closed", 0) == 0
    )
    for tap, direction in (("patient", 1), ("patient", 0)):
        beats = recording.packets.where(tap=tap, direction=direction, stream=CONTROL.code)
        assert np.diff(beats.column("t_ns")).max() < 200_000_000


def test_a_robot_that_takes_the_gateways_commands_and_bad_updates_is_found_out(kit, local_host):
    _, ((taken, _), (installed, _)) = besieged(kit, "executes-injected", "unsigned-update")
    assert taken > 0
    assert installed > 0


def test_of_a_device_that_enciphers_everything_nothing_can_be_read(kit, local_host):
    device = find_device("infusion-monitor")
    assert "listener" in capabilities(device, "local")
    assert "listener" not in capabilities(find_device("glucose-meter"), "local")
    session = Session("tests", device, eavesdropping(), seed=7)
    recording, (wrong, details) = shown(kit, session, enciphering.dat_1)
    assert (wrong, details["plain"], details["other_suite"]) == (0.0, "", "")
    assert details["suites"] == "TLS_AES_256_GCM_SHA384"
    (report,) = [e.value for e in recording.named("overheard")]
    flows = {(flow["stream"], flow["way"]): flow["marked"] for flow in report["flows"]}
    for stream in device.active_streams:
        assert flows[stream.name, stream.direction] > 2
    state = device.stream("infusion-state")
    arrived = recording.packets.where(tap="doctor", direction=1, stream=state.code)
    assert len(arrived) > 20  # a stream of the patient's side alone stands as well
    # The same, had one stream travelled plainly, with the device's modelled tags.
    streams = tuple(
        replace(s, carriage="datagram") if s.name == "infusion-state" else s for s in device.streams
    )
    modelled = replace(recording, device=replace(device, streams=streams))
    with pytest.raises(ev.Cannot, match="sealed by a model, not enciphered: infusion-state"):
        enciphering.dat_1(modelled, None)
