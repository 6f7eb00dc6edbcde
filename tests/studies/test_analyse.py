"""``bench analyse``: figures of pairs with known truth, verdicts, and what stands against them."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import struct
from pathlib import Path

import numpy as np
import pytest

from bench.errors import InputError
from bench.judge.verdict import Outcome
from bench.requirements.loader import load_catalogue
from bench.studies.analyse import Question, analyse
from bench.studies.analyse_clock import given_clock, signed_duration_s
from bench.studies.analyse_judge import find_asked

_spec = importlib.util.spec_from_file_location(
    "analyse_kit", Path(__file__).with_name("analyse_kit.py")
)
kit = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(kit)
MS = kit.MS
CATALOGUE = load_catalogue()
KEYS = {
    "stream", "direction", "sent", "received", "lost", "loss", "duplicated", "reordered",
    "ambiguous", "unmatched", "in_flight", "delay", "ipdv_p99", "pdv_p999", "rfc3550_jitter",
    "throughput", "longest_gap",
}  # fmt: skip
LOSS, DELAY = "000-t2-audio-loss", "000-t2-audio-delay"
SYNCHRONOUS = given_clock(None, "1us")


def asked(*names, device=None):
    return find_asked(names, device, CATALOGUE)


def verdicts(paths, *names, device=None, **options):
    options = {
        "clock": SYNCHRONOUS,
        "only": "audio-to-doctor" if device else "> 10.0.0.2",
        **options,
    }
    question = Question(device=device, asked=asked(*names, device=device), **options)
    return analyse(*paths, question).verdicts


def one(paths, name, **options):
    (found,) = verdicts(paths, name, **options)
    return found


def test_figures_of_both_directions_are_the_truth(tmp_path):
    lost = {7, 8, 200}
    paths = kit.save(
        tmp_path, kit.stream(lost=lost, delay_ns=lambda n: (5 + n % 2) * MS), kit.back()
    )
    data = analyse(*paths, Question()).to_json()
    assert json.loads(json.dumps(data, allow_nan=False)) == data
    assert list(data) == ["captures", "clock", "streams", "requirements", "verdicts", "notes"]
    for side, path in zip(("left", "right"), paths, strict=True):
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        assert data["captures"][side]["sha256"] == digest
    there, other = data["streams"]
    assert set(there) >= KEYS
    assert set(there["delay"]) >= {"min", "p50", "p99", "p999", "max", "mean"}
    assert there["direction"] == "left-to-right"
    assert there["stream"] == "UDP 10.0.0.1:1000 > 10.0.0.2:2000"
    assert (there["sent"], there["received"], there["lost"]) == (400, 397, 3)
    assert there["loss"] == 3 / 400
    assert (there["delay"]["min"], there["delay"]["max"]) == (0.005, 0.006)
    assert there["ipdv_p99"] == pytest.approx(0.001)
    assert other["direction"] == "right-to-left"
    assert (other["sent"], other["lost"]) == (400, 0)
    assert other["delay"]["p50"] == pytest.approx(0.004)


def test_a_device_names_its_streams_and_joins_its_links(tmp_path):
    near = kit.stream(
        300, to_doctor=False, ports=(7005, 7005), payload=kit.wire("audio-to-patient")
    )
    later = kit.stream(
        100, to_doctor=False, ports=(7005, 7005), payload=kit.wire("audio-to-patient"), first=300,
        start_ns=300 * 20 * MS, hosts=("10.1.0.1", "10.1.0.2"), lost={50},
    )  # fmt: skip
    paths = kit.save(tmp_path, near, later, kit.stream(ports=(5, 6)))
    found = analyse(*paths, Question(device=kit.DEVICE)).to_json()
    first, rest = found["streams"]
    assert (first["stream"], first["direction"]) == ("audio-to-patient", "right-to-left")
    assert (first["links"], first["sent"], first["lost"]) == (2, 400, 1)
    assert first["unmatched"] == first["reordered"] == 0
    assert first["problems"] == []
    assert rest["stream"].startswith("UDP 10.0.0.1:5 >")


def test_a_copy_on_a_second_link_saves_a_packet(tmp_path):
    words = {"to_doctor": False, "ports": (7005, 7005), "payload": kit.wire("audio-to-patient")}
    paths = kit.save(
        tmp_path, kit.stream(lost=range(10, 20), **words),
        kit.stream(lost={15}, hosts=("10.1.0.1", "10.1.0.2"), start_ns=MS, **words),
        kit.stream(ports=(5, 6)),
    )  # fmt: skip
    stream = analyse(*paths, Question(device=kit.DEVICE)).to_json()["streams"][0]
    assert (stream["links"], stream["sent"], stream["lost"]) == (2, 400, 1)


def test_translated_addresses_are_followed_where_asked_to(tmp_path):
    there = kit.stream(lost={4})
    words = {"hosts": ("192.0.2.9", "10.0.0.2")}
    outside = kit.stream(lost={4}, ports=(55555, 2000), **words)
    inside = kit.back(payload=lambda n: kit.plain(100_000 + n))
    far_answers = kit.back(ports=(2000, 55555), payload=lambda n: kit.plain(100_000 + n), **words)
    paths = kit.save(tmp_path, (there[0], outside[1]), (inside[0], far_answers[1]))
    found = analyse(*paths, Question(nat=True, only="10.0.0.1:1000 >")).to_json()
    (stream,) = found["streams"]
    assert stream["seen_as"] == ["UDP 192.0.2.9:55555 > 10.0.0.2:2000"]
    assert (stream["sent"], stream["lost"]) == (400, 1)


def test_verdicts_pass_fail_and_stay_open(tmp_path):
    clean = kit.save(tmp_path, kit.stream(), kit.back())
    assert one(clean, LOSS).verdict is Outcome.PASS
    found = one(clean, DELAY)
    assert found.verdict is Outcome.PASS
    assert {term.name for term in found.budget} == {"tap", "clock"}
    assert found.session == "patient.pcap,doctor.pcap"
    lossy = kit.save(tmp_path, kit.stream(lost=range(5, 400, 20)), kit.back())
    assert one(lossy, LOSS).verdict is Outcome.FAIL
    slow = kit.save(tmp_path, kit.stream(delay_ns=200 * MS), kit.back())
    assert one(slow, DELAY).verdict is Outcome.FAIL
    few = kit.save(tmp_path, kit.stream(100), kit.back(100))
    assert one(few, LOSS).verdict is Outcome.INCONCLUSIVE


def test_without_a_way_back_nothing_is_known_of_the_clocks(tmp_path):
    paths = kit.save(tmp_path, kit.stream())
    found = one(paths, DELAY, clock=given_clock(None, None))
    assert found.verdict is Outcome.INCONCLUSIVE
    assert "clock" in found.reason
    assert one(paths, LOSS, clock=given_clock(None, None)).verdict is Outcome.PASS
    assert one(paths, DELAY).verdict is Outcome.PASS


def test_the_estimated_offset_is_the_uncertainty(tmp_path):
    """140 ms there and 30 ms back: the clocks may be 140 ms apart, so 150 ms is not shown."""
    paths = kit.save(tmp_path, kit.stream(delay_ns=140 * MS), kit.back(delay_ns=30 * MS))
    found = analyse(*paths, Question(only="> 10.0.0.2", asked=asked(DELAY)))
    (verdict,) = found.verdicts
    assert verdict.verdict is Outcome.INCONCLUSIVE
    clock = found.clock
    assert (clock.lower_s, clock.upper_s) == (pytest.approx(-0.03), pytest.approx(0.14))
    assert one(paths, DELAY).verdict is Outcome.PASS


def test_a_given_offset_is_taken_off(tmp_path):
    paths = kit.save(tmp_path, kit.stream(delay_ns=45 * MS), kit.back(delay_ns=5 * MS))
    found = analyse(*paths, Question(clock=given_clock("20ms", "1ms"))).to_json()
    there, back = found["streams"]
    assert there["delay"]["p50"] == pytest.approx(0.025)
    assert back["delay"]["p50"] == pytest.approx(0.025)
    assert found["clock"]["offset_s"] == 0.02
    assert found["clock"]["uncertainty_s"] == 0.001
    assert signed_duration_s("-3ms", "x") == -0.003
    with pytest.raises(InputError, match="clock-offset"):
        given_clock("soon", None)


# ---- what stands against a verdict -----------------------------------------------------------


def test_packets_cut_from_the_left_capture_hide_no_loss(tmp_path):
    there, back = kit.stream(lost=range(100, 140)), kit.back()
    cut = [row for n, row in enumerate(there[0]) if not 90 <= n < 150]
    paths = kit.save(tmp_path, (cut, there[1]), back)
    found = one(paths, LOSS)
    assert found.verdict is Outcome.INCONCLUSIVE
    assert "20 packets arrived that the sending tap did not see" in found.reason


@pytest.mark.parametrize("payload", [kit.rtp, None], ids=["rtp", "device"])
def test_exactly_the_lost_packets_cut_from_the_left_leave_a_hole_in_the_numbers(tmp_path, payload):
    device = None if payload else kit.DEVICE
    words = {"ports": (7006, 7006), "lost": range(100, 140)}
    there = kit.stream(payload=payload or kit.wire("audio-to-doctor"), **words)
    cut = [row for n, row in enumerate(there[0]) if not 100 <= n < 140]
    paths = kit.save(tmp_path, (cut, there[1]), kit.back())
    found = one(paths, LOSS, device=device)
    assert found.verdict is Outcome.INCONCLUSIVE
    assert "40 numbers are missing" in found.reason


@pytest.mark.parametrize("end", ["head", "tail"])
@pytest.mark.parametrize("side", [0, 1])
def test_captures_of_different_times_are_judged_only_where_asked_to(tmp_path, side, end):
    rows = [list(each) for each in kit.stream()], [list(each) for each in kit.back()]
    for each in rows:
        each[side] = each[side][60:] if end == "head" else each[side][:-60]
    paths = kit.save(tmp_path, *rows)
    found = one(paths, LOSS)
    assert found.verdict is Outcome.INCONCLUSIVE
    assert "--overlap" in found.reason
    assert one(paths, LOSS, overlap=True).verdict is Outcome.PASS


def test_traffic_that_was_going_on_when_both_captures_began_is_no_problem(tmp_path):
    """Both taps capture the same 6 s of a path with 50 ms delay."""
    rows = kit.stream(delay_ns=50 * MS), kit.back(delay_ns=50 * MS)
    start = kit.frames.START_NS
    inside = [
        tuple([row for row in side if MS * 1000 <= row[0] - start < MS * 7500] for side in each)
        for each in rows
    ]
    paths = kit.save(tmp_path, *inside)
    assert one(paths, LOSS).verdict is Outcome.PASS


def test_a_number_sent_twice_is_a_contradiction(tmp_path):
    there = kit.stream(ports=(7006, 7006), payload=kit.wire("audio-to-doctor"))
    again = kit.stream(
        5, ports=(7006, 7006), payload=kit.wire("audio-to-doctor"), start_ns=8100 * MS
    )
    paths = kit.save(tmp_path, there, again, kit.back())
    found = one(paths, LOSS, device=kit.DEVICE)
    assert found.verdict is Outcome.INCONCLUSIVE
    assert "5 packets were sent under a number already used" in found.reason


def test_a_tap_that_dropped_packets_or_was_cut_short_backs_nothing(tmp_path):
    def dropping(rows):
        return kit.frames.pcapng(rows) + kit.frames.statistics(0, 3)

    paths = kit.save(tmp_path, kit.stream(), kit.back(), write=dropping)
    found = one(paths, LOSS)
    assert found.verdict is Outcome.INCONCLUSIVE
    assert "dropped 3 packets" in found.reason
    paths = kit.save(tmp_path, kit.stream(), kit.back())
    paths[1].write_bytes(paths[1].read_bytes()[:-1])
    found = one(paths, LOSS)
    assert found.verdict is Outcome.INCONCLUSIVE
    assert "ends inside a record" in found.reason


def test_ambiguous_packets_count_at_their_worse_end(tmp_path):
    """Packets without anything of their own: one of each pair is lost, which one is not known."""
    lost = {n for n in range(0, 400, 40)}
    there = kit.stream(payload=lambda n: (n // 40 * 40 + min(n % 40, 38)).to_bytes(4, "big"),
                       lost=lost, first=0, period_ns=MS)  # fmt: skip
    plain = [
        [(t, kit.frames.ethernet(kit.frames.ipv4(frame[34:]))) for t, frame in side]
        for side in there
    ]
    data = analyse(*kit.save(tmp_path, plain, kit.back(period_ns=MS)), Question()).to_json()
    stream = next(each for each in data["streams"] if each["direction"] == "left-to-right")
    known = stream["lost"] + stream["ambiguous"] + stream["in_flight"]
    assert known >= len(lost)
    assert stream["sent"] == known + stream["received"]


def test_a_stream_of_the_device_that_is_not_there_is_inconclusive(tmp_path):
    there = kit.stream(ports=(7006, 7006), payload=kit.wire("audio-to-doctor"))
    paths = kit.save(tmp_path, there, kit.back())
    found = {v.stream: v for v in verdicts(paths, LOSS, device=kit.DEVICE, only=None)}
    assert set(found) == {"audio-to-doctor", "audio-to-patient"}
    assert found["audio-to-doctor"].verdict is Outcome.PASS
    assert found["audio-to-patient"].verdict is Outcome.INCONCLUSIVE
    assert "no packets of the stream" in found["audio-to-patient"].reason


def test_a_clock_that_is_set_while_capturing_backs_nothing(tmp_path):
    there, back = kit.stream(), kit.back()
    half = kit.frames.START_NS + 4000 * MS

    def stepped(rows):
        return [(t + (3 * MS if t > half else 0), frame) for t, frame in rows]

    paths = kit.save(tmp_path, (there[0], stepped(there[1])), (back[0], stepped(back[1])))
    for options in ({}, {"clock": given_clock(None, None)}):
        found = one(paths, DELAY, **options)
        assert found.verdict is Outcome.INCONCLUSIVE
        assert "clocks jumps by 3 ms" in found.reason


def test_a_given_offset_that_the_packets_contradict_is_not_believed(tmp_path):
    paths = kit.save(tmp_path, kit.stream(delay_ns=140 * MS), kit.back())
    assert one(paths, DELAY, clock=given_clock("10ms", "1ms")).verdict is Outcome.PASS
    with pytest.raises(InputError, match=r"negative|before they are sent|same way"):
        one(paths, DELAY, clock=given_clock("-30ms", "1ms"))


def test_round_trips_of_tcp_are_taken_at_the_sender(tmp_path):
    def segment(ports, sequence, acknowledgement, payload):
        head = struct.pack(">HHIIHHHH", *ports, sequence, acknowledgement, 0x5010, 100, 0, 0)
        return head + payload

    def rows(ports, ends, at_ms, numbers, payload):
        found = []
        for t_ms, (sequence, acknowledgement) in zip(at_ms, numbers, strict=True):
            body = segment(ports, sequence, acknowledgement, payload)
            frame = kit.frames.ethernet(kit.frames.ipv4(body, ends, protocol=6))
            found.append((kit.frames.START_NS + t_ms * MS, frame))
        return found

    here, there = ("10.0.0.1", "10.0.0.2"), (40000, 443)
    counts = [(1 + 100 * n, 1) for n in range(20)]
    acks = [(1, 101 + 100 * n) for n in range(20)]
    data = [rows(there, here, [20 * n + d for n in range(20)], counts, bytes(100)) for d in (0, 5)]
    back = [
        rows(there[::-1], here[::-1], [20 * n + d for n in range(20)], acks, b"") for d in (12, 8)
    ]
    paths = kit.save(tmp_path, data, back)
    found = {each["direction"]: each for each in analyse(*paths, Question()).to_json()["streams"]}
    trip = found["left-to-right"]["round_trip"]
    assert trip["n"] == 20
    assert trip["rtt"]["p50"] == pytest.approx(0.012)
    assert found["right-to-left"]["round_trip"] is None


# ---- which stream is meant -------------------------------------------------------------------


def test_which_stream_is_meant(tmp_path):
    paths = kit.save(tmp_path, kit.stream(), kit.back())
    with pytest.raises(InputError, match=r"2 streams.*--only"):
        verdicts(paths, LOSS, only=None)
    with pytest.raises(InputError, match=r"--only.*no stream"):
        verdicts(paths, LOSS, only="nothing")
    with pytest.raises(InputError, match=r"asked for to-doctor.*patient's side first"):
        verdicts(paths, "000-t2-ecg-delay", only="> 10.0.0.1")
    with pytest.raises(InputError, match="did you mean"):
        asked("000-t2-audio-los")
    with pytest.raises(InputError, match=r"REC-1.*behaviour"):
        asked("REC-1")
    with pytest.raises(InputError, match="availability"):
        asked("000-t1-audio-reliability")
    with pytest.raises(InputError, match="does not carry"):
        asked("000-t3-vital-signs-delay", device=kit.DEVICE)


def test_a_device_the_wrong_way_round_is_said(tmp_path):
    there = kit.stream(to_doctor=False, ports=(7006, 7006), payload=kit.wire("audio-to-doctor"))
    paths = kit.save(tmp_path, there, kit.stream(ports=(1, 2)))
    assert "the other way" in analyse(*paths, Question(device=kit.DEVICE)).notes[-1]
    with pytest.raises(InputError, match="patient's side first"):
        verdicts(paths, LOSS, device=kit.DEVICE)


def test_packets_are_handed_on_stream_by_stream(tmp_path):
    paths = kit.save(tmp_path, kit.stream(lost={3}), kit.back())
    seen = {}
    analyse(*paths, Question(), each=lambda result, flow: seen.update({result.direction: flow}))
    assert np.flatnonzero(seen["left-to-right"].lost).tolist() == [3]
    assert len(seen["right-to-left"]) == 400


def test_notes_say_what_was_not_analysed(tmp_path):
    there, back = kit.stream(), kit.back()
    alone = kit.stream(7, ports=(8, 9))
    paths = kit.save(tmp_path, there, back, (alone[0], []))
    found = analyse(*paths, Question())
    assert any("7 packets of 1 flows" in note and "patient.pcap" in note for note in found.notes)
    assert found.to_json()["captures"]["left"]["unshared"] == [
        {"flow": "UDP 10.0.0.1:8 > 10.0.0.2:9", "packets": 7}
    ]


def test_different_snaplens_work_and_are_said(tmp_path):
    paths = kit.save(tmp_path, kit.stream(), kit.back())
    rows = sorted(kit.stream()[1] + kit.back()[1], key=lambda row: row[0])
    kit.frames.save(paths[1], kit.frames.pcap(rows, snap=60))
    found = analyse(*paths, Question())
    assert [stream.figures.lost for stream in found.streams] == [0, 0]
    assert any("different lengths" in note for note in found.notes)
