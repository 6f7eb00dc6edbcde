"""``bench analyse`` with one file: a capture beside its truth and tshark, a video beside its."""

from __future__ import annotations

import importlib.util
import io
import json
import re
import shutil
import struct
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rich.console import Console

from bench.captures.rules import SequenceField, StreamRule
from bench.captures.video import is_video
from bench.errors import InputError
from bench.measure.frame_counter import draw_counter
from bench.report.analyse_one import print_one
from bench.studies.one_capture import analyse_one

_FILE = Path(__file__).parents[1] / "captures" / "kit.py"
MS = 1_000_000
PCMU, H264 = 0, 96
AUDIO, VIDEO = (4000, 5004), (4002, 5006)

ISSUE_KEYS = {
    "stream", "direction", "sent", "received", "lost", "loss", "duplicated", "reordered",
    "ambiguous", "unmatched", "in_flight", "delay", "ipdv_p99", "pdv_p999", "rfc3550_jitter",
    "throughput", "longest_gap",
}  # fmt: skip


@pytest.fixture(scope="module")
def kit():
    spec = importlib.util.spec_from_file_location("captures_kit", _FILE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def rtp(sequence, stamp, ssrc, kind, marker=False, size=160):
    """RFC 3550, 5.1."""
    first, second = 0x80, marker << 7 | kind
    return struct.pack(
        ">BBHII", first, second, sequence % 2**16, stamp % 2**32, ssrc
    ) + bytes(size)  # fmt: skip


def audio(kit, count=1500, *, seed=1, loss=0.02, again=0.01, start=65000, ports=AUDIO, ssrc=7):
    """G.711 every 20 ms with jitter; what is lost and doubled is known."""
    rng = np.random.default_rng(seed)
    rows, kept, doubled = [], [], 0
    for n in range(count):
        t_ns = kit.START_NS + n * 20 * MS + int(rng.uniform(0, 5 * MS))
        if 0 < n < count - 1 and rng.random() < loss:
            continue
        kept.append(n)
        frame = kit.ethernet(kit.ipv4(kit.udp(rtp(start + n, n * 160, ssrc, PCMU), ports)))
        rows.append((t_ns, frame))
        if rng.random() < again:
            rows.append((t_ns + 1000, frame))
            doubled += 1
    return rows, kept, doubled


def video(kit, frames=300, *, stall=(), lost=(), ports=VIDEO, ssrc=8, each=3):
    """25 frames a second of three packets; no packet passes in frames ``stall``."""
    rows = []
    for frame in range(frames):
        for k in range(each):
            number = frame * each + k
            if frame in stall or number in lost:
                continue
            packet = rtp(number, frame * 3600, ssrc, H264, k == each - 1, 900)
            t_ns = kit.START_NS + frame * 40 * MS + k * MS // 5
            rows.append((t_ns, kit.ethernet(kit.ipv4(kit.udp(packet, ports)))))
    return rows


def analysed(kit, folder, rows, **more):
    path = folder / "one.pcap"
    kit.save(path, kit.pcap(sorted(rows, key=lambda row: row[0])))
    data = analyse_one(path, **more).to_json()
    json.dumps(data, allow_nan=False)
    return data


def test_loss_and_duplicates_are_the_truth(kit, tmp_path):
    rows, kept, doubled = audio(kit)
    (stream,) = analysed(kit, tmp_path, rows)["streams"]
    assert stream["numbers"] == "rtp"
    assert stream["ssrc"] == 7
    assert stream["packets"] == len(rows)
    assert stream["received"] == len(kept)
    assert stream["lost"] == 1500 - len(kept)
    assert stream["loss"] == (1500 - len(kept)) / 1500
    assert stream["duplicated"] == doubled > 0
    assert stream["loss_pattern"]["periods"] == int(np.count_nonzero(np.diff(kept) > 1))
    assert (stream["clock_rate"], stream["clock_origin"]) == (8000, "static")
    assert stream["video"] is None


def test_what_one_place_cannot_tell_is_null_and_said(kit, tmp_path):
    found = analysed(kit, tmp_path, audio(kit)[0])
    (stream,) = found["streams"]
    assert set(stream) >= ISSUE_KEYS
    for name in (
        "direction", "sent", "ambiguous", "unmatched", "in_flight", "ipdv_p99", "pdv_p999",
    ):  # fmt: skip
        assert stream[name] is None
    assert set(stream["delay"]) == {"min", "p50", "p99", "p999", "max", "mean"}
    assert set(stream["delay"].values()) == {None}
    assert "delay" in found["notes"][0]
    assert found["captures"]["right"] is None
    assert (found["requirements"], found["verdicts"]) == ([], [])


def test_every_stream_has_the_same_keys(kit, tmp_path):
    rows = audio(kit)[0] + video(kit) + plain(kit)
    streams = analysed(kit, tmp_path, rows)["streams"]
    assert len({tuple(stream) for stream in streams}) == 1
    assert len(streams) == 3


def plain(kit, count=50, payload=b"\x01abc"):
    return [
        (kit.START_NS + n * 30 * MS, kit.ethernet(kit.ipv4(kit.udp(payload, (9, 10)))))
        for n in range(count)
    ]


def test_without_numbers_there_are_counts_rate_and_gaps_only(kit, tmp_path):
    found = analysed(kit, tmp_path, plain(kit))
    (stream,) = found["streams"]
    assert stream["packets"] == 50
    assert stream["longest_gap"] == pytest.approx(0.03)
    # Frames are padded; what counts is the IP packet with an Ethernet header.
    assert stream["throughput"] == pytest.approx((20 + 8 + 4 + 14) * 8 * 50 / (49 * 0.03))
    for name in ("numbers", "expected", "received", "lost", "loss", "rfc3550_jitter", "video"):
        assert stream[name] is None
    assert any("no numbers" in note for note in found["notes"])


def test_tcp_has_counts_and_gaps(kit, tmp_path):
    """Also where what would be the RTP header's place looks like one."""
    rows = [
        (kit.START_NS + n * MS, kit.ethernet(kit.ipv4(kit.tcp(bytes(9), sequence=n), protocol=6)))
        for n in range(100)
    ]
    rows = [(at, frame[:38] + b"\x80\x60" + frame[40:]) for at, frame in rows]
    (stream,) = analysed(kit, tmp_path, rows)["streams"]
    assert stream["stream"].startswith("TCP")
    assert (stream["packets"], stream["numbers"], stream["ssrc"]) == (100, None, None)


def test_sources_of_one_flow_are_streams_of_their_own(kit, tmp_path):
    one, first, _ = audio(kit, seed=1, ssrc=7)
    two, second, _ = audio(kit, seed=2, ssrc=9, start=30)
    other = [(kit.START_NS, kit.ethernet(kit.ipv4(kit.udp(b"\x00\x01stun", AUDIO))))]
    streams = analysed(kit, tmp_path, one + two + other)["streams"]
    by_source = {stream["ssrc"]: stream for stream in streams}
    assert set(by_source) == {7, 9, None}
    assert by_source[7]["received"] == len(first)
    assert by_source[9]["received"] == len(second)
    assert by_source[None]["packets"] == 1


def test_a_rule_names_the_stream_and_its_numbers(kit, tmp_path):
    rule = StreamRule("haptic", 17, 2000, b"TB", SequenceField(4, 4))
    head = b"TB\x01\x02"
    rows = [
        (kit.START_NS + n * MS, kit.ethernet(kit.ipv4(kit.udp(head + struct.pack(">I", n)))))
        for n in range(1000)
        if n not in (100, 101, 500)
    ]  # fmt: skip
    (stream,) = analysed(kit, tmp_path, rows, rules=[rule])["streams"]
    assert (stream["stream"], stream["rule"], stream["numbers"]) == (
        "haptic", "haptic", "application",
    )  # fmt: skip
    assert (stream["expected"], stream["lost"]) == (1000, 3)
    assert stream["loss_pattern"]["lengths"] == [[1, 1], [2, 1]]


@pytest.mark.parametrize("constant", [False, True])
def test_random_payloads_are_not_taken_for_rtp(kit, tmp_path, constant):
    """Also not where the bytes in the SSRC's place are always the same."""
    rng = np.random.default_rng(2)
    rows = []
    for n in range(400):
        payload = bytes([0x80 | int(rng.integers(64)), int(rng.integers(64))]) + rng.bytes(40)
        if constant:
            payload = payload[:8] + b"same" + payload[12:]
        rows.append((kit.START_NS + n * MS, kit.ethernet(kit.ipv4(kit.udp(payload)))))
    (stream,) = analysed(kit, tmp_path, rows)["streams"]
    assert (stream["ssrc"], stream["numbers"]) == (None, None)


# RTP frame gaps --------------------------------------------------------------------------------


def test_a_stall_of_rtp_video_is_one_frame_gap(kit, tmp_path):
    (stream,) = analysed(kit, tmp_path, video(kit, stall=range(100, 150)))["streams"]
    found = stream["video"]
    assert found["kind"] == "RTP frame gap"
    (freeze,) = found["freezes"]
    # All frames between are lost. Whether the first to come again is whole cannot be told, so
    # the picture is new with the one after it.
    assert freeze["start"] == pytest.approx(99 * 0.04 + 0.0004)
    assert freeze["end"] == pytest.approx(151 * 0.04 + 0.0004)
    assert freeze["duration"] == found["frozen"] == found["longest_gap"]
    assert found["frozen_share"] == pytest.approx(52 * 0.04 / (298 * 0.04), rel=0.01)
    assert found["conclusive"] is True
    assert stream["lost"] == 150


def test_frames_that_are_not_whole_are_no_new_pictures(kit, tmp_path):
    """A packet of each of ten frames is lost: data flow on, the picture stands."""
    lost = {frame * 3 + 1 for frame in range(100, 110)}
    (stream,) = analysed(kit, tmp_path, video(kit, lost=lost))["streams"]
    assert stream["longest_gap"] < 0.05
    (freeze,) = stream["video"]["freezes"]
    assert freeze["duration"] == pytest.approx(11 * 0.04)
    assert stream["video"]["broken"] == 10


def test_a_stream_that_ends_before_the_capture_says_what_it_may_be(kit, tmp_path):
    late = [(kit.START_NS + 20_000 * MS, kit.ethernet(kit.ipv4(kit.udp(b"\x01x", (9, 10)))))]
    found = analysed(kit, tmp_path, video(kit) + late)
    freeze = found["streams"][0]["video"]["freezes"][0]
    assert freeze["end"] is None
    assert freeze["duration"] == pytest.approx(20 - 299 * 0.04, abs=0.001)
    assert found["streams"][0]["video"]["conclusive"] is False
    assert any("may also have ended" in note for note in found["notes"])


def test_the_threshold_can_be_given(kit, tmp_path):
    rows = video(kit, stall=range(100, 102))
    assert not analysed(kit, tmp_path, rows)["streams"][0]["video"]["freezes"]
    (stream,) = analysed(kit, tmp_path, rows, freeze_s=0.1)["streams"]
    assert len(stream["video"]["freezes"]) == 1
    assert stream["video"]["threshold"] == 0.1


# Beside tshark ---------------------------------------------------------------------------------


def tshark_streams(path, ports):
    command = ["tshark", "-q", "-z", "rtp,streams", "-r", str(path)]
    for port in ports:
        command += ["-d", f"udp.port=={port},rtp"]
    text = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120).stdout
    shape = re.compile(
        r"(0x[0-9A-Fa-f]{8})\s+(\S+)\s+(\d+)\s+(-?\d+) \(.*?%\)"
        r"\s+(\S+)\s+(\S+)\s+(\S+)\s+(\S+)\s+(\S+)\s+(\S+)"
    )
    found = {}
    for match in shape.finditer(text):
        names = ("packets", "lost")
        row = dict(zip(names, (int(match[3]), int(match[4])), strict=True))
        row |= {"mean_s": float(match[9]) / 1e3, "max_s": float(match[10]) / 1e3}
        found[int(match[1], 16)] = row
    return found


@pytest.mark.skipif(
    shutil.which("tshark") is None,
    reason="NOT COMPARED WITH TSHARK: it is not installed (apt-get install tshark)",
)
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_tshark_agrees(kit, tmp_path, seed):
    """Packets, cumulative loss as RTCP has it, mean and largest jitter of G.711."""
    rows = audio(kit, seed=seed)[0]
    rows += audio(kit, seed=seed + 10, again=0, start=5, ssrc=70, ports=(6000, 6002))[0]
    rows += video(kit, lost=set(range(50, 800, 17)))
    found = analysed(kit, tmp_path, rows)
    theirs = tshark_streams(tmp_path / "one.pcap", (5004, 5006, 6002))
    assert set(theirs) == {7, 70, 8}
    for stream in found["streams"]:
        row = theirs[stream["ssrc"]]
        assert stream["packets"] == row["packets"]
        assert stream["cumulative_lost"] == row["lost"]
        if stream["payload_types"] == [PCMU]:  # of others tshark knows no clock
            assert stream["rfc3550_jitter_mean"] == pytest.approx(row["mean_s"], abs=0.6e-6)
            assert stream["rfc3550_jitter_max"] == pytest.approx(row["max_s"], abs=0.6e-6)


# Bad input -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "words"),
    [(b"", "empty"), (b"hello, world", "not a capture"), (b"\x1f\x8b" + bytes(40), "gzip")],
)
def test_bad_files_are_refused_in_one_line(tmp_path, data, words):
    path = tmp_path / "x"
    path.write_bytes(data)
    with pytest.raises(InputError, match=words):
        analyse_one(path)
    with pytest.raises(InputError, match="no such file"):
        analyse_one(tmp_path / "none")


def test_a_clock_that_goes_back_is_refused(kit, tmp_path):
    rows = audio(kit, 40, loss=0, again=0)[0]
    rows = rows[20:] + rows[:20]
    kit.save(tmp_path / "x.pcap", kit.pcap(rows))
    with pytest.raises(InputError, match="time goes back"):
        analyse_one(tmp_path / "x.pcap")


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_damaged_captures_are_read_or_refused(kit, tmp_path, data):
    rows = audio(kit, 60)[0] + video(kit, 20) + plain(kit, 5)
    whole = bytearray(kit.pcap(sorted(rows, key=lambda row: row[0])))
    for _ in range(data.draw(st.integers(1, 40))):
        at = data.draw(st.integers(0, len(whole) - 1))
        whole[at] = data.draw(st.integers(0, 255))
    path = tmp_path / "x.pcap"
    path.write_bytes(whole[: data.draw(st.integers(0, len(whole)))])
    try:
        found = analyse_one(path).to_json()
    except InputError:
        return
    json.dumps(found, allow_nan=False)
    for stream in found["streams"]:
        if stream["numbers"] is not None:
            assert 0 <= stream["lost"] <= stream["expected"]


def test_people_read_it(kit, tmp_path):
    rows = audio(kit)[0] + video(kit, stall=range(100, 150)) + plain(kit)
    found = analysed(kit, tmp_path, rows)
    out = io.StringIO()
    print_one(found, console=Console(file=out, width=80))
    text = out.getvalue()
    for words in ("SSRC 0x00000007", "of 1", "RTP frame gap", "8000 Hz (static)", "note: one cap"):
        assert words in text


# Decoded video ---------------------------------------------------------------------------------

HAS_AV = importlib.util.find_spec("av") is not None
needs_av = pytest.mark.skipif(
    not HAS_AV, reason="NO VIDEO WAS DECODED: PyAV is not installed (pip install av)"
)
SIZE = (96, 352)
RATE = 25


def picture(at, counter):
    rows, columns = np.indices(SIZE)
    luma = (60 + columns / 4 + rows / 4).astype(np.uint8)
    left, light = int(at) * 3 % 300, round(1000 * (at - int(at)))
    luma[24:, left : left + 20] = 200 + light
    if counter is not None:
        draw_counter(luma, counter)
    return luma


def encoded(path, shown, counters=None, *, codec="libx264", options=None, times=None):
    """A video of pictures ``shown`` (repeats are frozen), with or without counters."""
    import av

    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=RATE, options=options or {})
        stream.height, stream.width = SIZE
        stream.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
        stream.time_base = Fraction(1, RATE)
        for index, at in enumerate(shown):
            luma = picture(at, None if counters is None else counters[index])
            planes = np.full((SIZE[0] * 3 // 2, SIZE[1]), 128, dtype=np.uint8)
            planes[: SIZE[0]] = luma
            frame = av.VideoFrame.from_ndarray(planes, format="yuv420p")
            frame.pts = index if times is None else times[index]
            frame.time_base = Fraction(1, RATE)
            container.mux(stream.encode(frame.reformat(format=stream.pix_fmt)))
        container.mux(stream.encode())
    return path


def stalled(count=120, start=50, length=25):
    """The picture of ``start`` is shown for ``length`` frames more."""
    return [min(at, start) if at <= start + length else at for at in range(count)]


CODECS = [
    ("libx264", "x.mp4", {"crf": "28"}),
    ("libx264", "x.mkv", {"crf": "35", "g": "10"}),
    ("mpeg4", "x.avi", {"qscale": "8"}),
    ("mjpeg", "x.mov", {}),
]


@needs_av
@pytest.mark.parametrize(("codec", "name", "options"), CODECS)
@pytest.mark.parametrize("counted", [False, True])
def test_a_frozen_video_is_found_where_it_is(tmp_path, codec, name, options, counted):
    shown = stalled()
    path = encoded(
        tmp_path / name, shown, shown if counted else None, codec=codec, options=options
    )  # fmt: skip
    assert is_video(path)
    found = analyse_one(path).to_json()
    json.dumps(found, allow_nan=False)
    (stream,) = found["streams"]
    assert set(stream) >= ISSUE_KEYS
    video = stream["video"]
    assert video["kind"] == "decoded-stream freeze"
    assert video["method"] == ("frame counter" if counted else "repeated pictures")
    assert video["frames"] == 120
    (freeze,) = video["freezes"]
    assert freeze["start"] == pytest.approx(50 / RATE, abs=1 / RATE)
    assert freeze["end"] == pytest.approx(76 / RATE, abs=1e-6)
    assert video["conclusive"] is counted
    assert any("INCONCLUSIVE" in note for note in found["notes"]) is not counted
    if counted:
        assert (video["new"], video["unreadable"], video["replayed"]) == (95, 0, 0)
        assert freeze["start"] == pytest.approx(50 / RATE, abs=1e-6)
    out = io.StringIO()
    print_one(found, console=Console(file=out, width=80))
    assert "decoded-stream freeze" in out.getvalue()


@needs_av
def test_a_live_video_has_no_freeze(tmp_path):
    found = analyse_one(encoded(tmp_path / "x.mp4", range(100))).to_json()
    video = found["streams"][0]["video"]
    assert (video["freezes"], video["conclusive"]) == ([], True)


@needs_av
def test_a_counter_tells_a_still_scene_from_a_frozen_one(tmp_path):
    path = encoded(tmp_path / "x.mp4", [7] * 100, range(100), options={"crf": "30"})
    video = analyse_one(path).to_json()["streams"][0]["video"]
    assert (video["method"], video["new"], video["freezes"]) == ("frame counter", 100, [])
    path = encoded(tmp_path / "y.mp4", [7] * 100)
    found = analyse_one(path).to_json()
    assert found["streams"][0]["video"]["conclusive"] is False
    assert any("INCONCLUSIVE" in note for note in found["notes"])


@needs_av
def test_little_news_is_inconclusive(tmp_path):
    """For two seconds pictures differ by 10 of 255 in one bar: light that flickers, or coding."""
    shown = [*range(30), *(30 + 0.01 * (at % 2) for at in range(50)), *range(31, 60)]
    found = analyse_one(encoded(tmp_path / "x.mov", shown, codec="mjpeg")).to_json()
    video = found["streams"][0]["video"]
    assert (video["freezes"], video["conclusive"]) == ([], False)
    assert any("2 s more would be frozen" in note for note in found["notes"])


@needs_av
def test_pictures_that_come_late_are_a_freeze_too(tmp_path):
    """Nothing is repeated: the file itself has no picture for a second."""
    times = [at if at < 50 else at + RATE for at in range(100)]
    path = encoded(tmp_path / "x.mkv", range(100), range(100), times=times)
    (freeze,) = analyse_one(path).to_json()["streams"][0]["video"]["freezes"]
    assert freeze["duration"] == pytest.approx(1 + 1 / RATE, abs=0.002)


@needs_av
def test_an_old_picture_shown_again_is_not_new(tmp_path):
    counters = [*range(50), *range(20, 50), *range(50, 70)]
    found = analyse_one(encoded(tmp_path / "x.mp4", range(100), counters)).to_json()
    video = found["streams"][0]["video"]
    assert video["replayed"] == 29
    (freeze,) = video["freezes"]
    assert freeze["duration"] == pytest.approx(31 / RATE, abs=0.002)


@needs_av
@pytest.mark.parametrize("keep", [60, 400, 4000])
def test_a_video_cut_short_is_refused_or_read(tmp_path, keep):
    whole = encoded(tmp_path / "x.mp4", range(50)).read_bytes()
    path = tmp_path / "cut.mp4"
    path.write_bytes(whole[:keep])
    with pytest.raises(InputError, match=r"cannot be decoded|holds no"):
        analyse_one(path)


@needs_av
@settings(
    max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_a_damaged_video_is_refused_or_read(tmp_path, data):
    whole = tmp_path / "whole.mkv"
    if not whole.exists():
        encoded(whole, range(30), range(30))
    content = bytearray(whole.read_bytes())
    for _ in range(data.draw(st.integers(1, 30))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path / "a:b.mkv"
    path.write_bytes(content)
    try:
        json.dumps(analyse_one(path).to_json(), allow_nan=False)
    except InputError:
        return


@needs_av
def test_sound_without_a_picture_is_refused(tmp_path):
    import av

    with av.open(str(tmp_path / "x.mkv"), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=8000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), layout="mono")
        frame.rate = 8000
        container.mux(stream.encode(frame))
    with pytest.raises(InputError, match="no video stream"):
        analyse_one(tmp_path / "x.mkv")


def test_without_pyav_the_remedy_is_said(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "av", None)
    path = tmp_path / "x.mp4"
    path.write_bytes(b"\x00\x00\x00\x18ftypmp42" + bytes(100))
    with pytest.raises(InputError, match=r"pip install telemed-bench\[video\]"):
        analyse_one(path)


@pytest.mark.parametrize(
    ("head", "video"),
    [
        (b"\x00\x00\x00\x18ftypisom", True),
        (b"\x1aE\xdf\xa3", True),
        (b"RIFF\x00\x00\x00\x00AVI LIST", True),
        (b"RIFF\x00\x00\x00\x00WAVEfmt ", False),
        ((b"\x47" + bytes(187)) * 3, True),
        (b"\xd4\xc3\xb2\xa1", False),
        (b"\xa1\xb2\x3c\x4d", False),
        (b"\x0a\x0d\x0d\x0a", False),
        (b"", False),
    ],
)
def test_content_tells_video_from_captures(tmp_path, head, video):
    path = tmp_path / "misnamed.pcap"
    path.write_bytes(head + bytes(20))
    assert is_video(path) is video
