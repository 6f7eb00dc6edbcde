"""Device profiles: read strictly, with one clear message for every mistake."""

import hashlib
import json
import re
from dataclasses import asdict, replace
from importlib import resources

import pytest

from bench.captures.rules import SequenceField, StreamRule
from bench.devices import registry
from bench.devices.defects import DEFECTS, parse_defect, traits_of
from bench.devices.figures import DECLARED
from bench.devices.load import load_profile
from bench.devices.monitor.gateway import conditions
from bench.devices.profile import Stream
from bench.devices.rules import rules_of
from bench.errors import InputError
from bench.judge.documented import looser_than_documents
from bench.requirements.loader import load_catalogue
from bench.sessions.codec import from_json, to_json

TEXT = (resources.files("bench.devices") / "data" / "telesurgery-robot.toml").read_text()
UNDECLARED = re.sub(r"(?m)^\[declarations\.[^\[]*", "", TEXT)


@pytest.fixture
def broken(tmp_path):
    def write(old, new):
        assert old in TEXT
        path = tmp_path / "device.toml"
        path.write_text(TEXT.replace(old, new, 1))
        with pytest.raises(InputError) as caught:
            load_profile(path)
        line = caught.value.line()
        assert "\n" not in line
        assert str(path) in line
        return line

    return write


def test_the_robot_carries_every_row_of_table_2():
    profile = registry.find_device("telesurgery-robot")
    kinds = {kind for stream in profile.streams for kind in stream.kinds}
    assert kinds == {
        "video-2d", "video-3d", "audio", "temperature", "blood-pressure", "heart-rate",
        "respiration", "ecg", "emg", "eeg", "force", "vibration",
    }  # fmt: skip
    assert [s.code for s in profile.streams] == list(range(len(profile.streams)))


def test_an_option_replaces_the_stream_that_excludes_it():
    plain = registry.find_device("telesurgery-robot")
    stereo = plain.with_options(("video-3d",))
    names = {s.name for s in plain.active_streams} ^ {s.name for s in stereo.active_streams}
    assert names == {"video-2d", "video-3d"}
    assert plain.fingerprint != stereo.fingerprint


def test_six_leads_more_are_sent_at_the_rate_per_lead_of_the_twelve():
    """And beside them, not in their place: the documented rate is of one electrocardiogram."""
    plain = registry.find_device("ambulance")
    eighteen = plain.with_options(("ecg-18-leads",))
    (more,) = {s.name for s in eighteen.active_streams} - {s.name for s in plain.active_streams}
    twelve, further = eighteen.stream("monitor-ecg"), eighteen.stream(more)
    assert further.rate_bps / 6 == pytest.approx(twelve.rate_bps / 12)
    assert (further.most_delay_s, further.most_loss) == (twelve.most_delay_s, twelve.most_loss)
    assert twelve in plain.active_streams


def test_what_an_ambulance_records_and_alarms_travels_as_hl7():
    device = registry.find_device("ambulance")
    assert "mobile" in device.functions
    kept = {s.name for s in device.streams if {"records", "alarm"} & {*s.kinds}}
    assert kept == {s.name for s in device.streams if s.carriage == "mllp"}


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ('command_delay = "10ms"', 'command_delay = "-10ms"', "limits.command_delay"),
        ('command_delay = "10ms"', "command_delay = 10", "has no unit"),
        ('command_delay = "10ms"', 'command_delay = "10"', "has no unit"),
        ('command_delay = "10ms"', 'command_dealy = "10ms"', "command_delay"),
        ('command_delay = "10ms"', "", "limits.command_delay"),
        ('class = "therapy"', 'class = "theropy"', "therapy"),
        ('priority = "high"', 'priority = "urgent"', "high, medium, low"),
        ("port = 7001", "port = 7000", "7000"),
        ("port = 7001", "port = 70000", "65535"),
        ('payload = "36B"', 'payload = "9000B"', "payload"),
        ('payload = "36B"', 'payload = "36B"\ncarriage = "pigeon"', "datagram, rtp, dtls"),
        ('payload = "36B"', 'payload = "36B"\ncarriage = "rtp"', "44B to 1472B"),
        ('most_delay = "10ms"', 'most_delay = "20"', "most_delay"),
        ('most_loss = "0.01%"', 'most_loss = "120%"', "most_loss"),
        ('period = "1ms"', 'period = "1us"', "0.1ms"),
        ('position_jump = "1mm"', 'position_jump = "1"', "1mm"),
        ("[device]", "[device", "TOML"),
        ('source = "doctor"', 'source = "nurse"', "patient, doctor"),
    ],
)
def test_a_mistake_gets_one_line_with_field_and_remedy(broken, old, new, expected):
    assert expected in broken(old, new)


EMC_REPORT = """
[declarations.EMC-1]
report = "TR-2026-118"
laboratory = "A laboratory"
date = "2026-03-01"
expires = "2029-03-01"
"""


def test_declarations(tmp_path):
    path = tmp_path / "device.toml"
    path.write_text(UNDECLARED + EMC_REPORT, encoding="utf-8")
    found = load_profile(path).declarations["EMC-1"]
    assert (found.report, found.date, found.expires) == ("TR-2026-118", "2026-03-01", "2029-03-01")
    for old, new, said in (
        ('report = "TR-2026-118"\n', "", "declarations.EMC-1.report: is missing"),
        ("2026-03-01", "March 2026", "'March 2026': is no day"),
        ("2029-03-01", "2025-03-01", "is before the report's own date"),
        ("expires", "expiry", "did you mean expires"),
    ):
        path.write_text(UNDECLARED + EMC_REPORT.replace(old, new), encoding="utf-8")
        with pytest.raises(InputError, match=said):
            load_profile(path)


def test_missing_file_and_unknown_names(tmp_path):
    for text in ("no-such-device", str(tmp_path / "none.toml"), f"{tmp_path}/none.py:DEVICE"):
        with pytest.raises(InputError) as caught:
            registry.find_device(text)
        assert ";" in caught.value.line()
    with pytest.raises(InputError):
        registry.find_device("telesurgery-robot").with_options(("video-4d",))


def test_a_device_from_a_python_file(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text(
        "from bench.devices.registry import find_device\n"
        "def ROBOT():\n"
        "    return find_device('telesurgery-robot').with_defects({'late-alarm': 1})\n"
    )
    assert registry.find_device(f"{path}:ROBOT").defects == {"late-alarm": 1}
    with pytest.raises(InputError, match="defines no 'nobody'; name one of find_device, ROBOT"):
        registry.find_device(f"{path}:nobody")
    (tmp_path / "other.py").write_text("ROBOT = 7\n")
    with pytest.raises(InputError, match="not a device profile"):
        registry.find_device(f"{tmp_path}/other.py:ROBOT")
    path.write_text("1 / 0\n")
    with pytest.raises(InputError, match="ZeroDivisionError"):
        registry.find_device(f"{path}:ROBOT")


def test_each_defect_deviates_and_the_healthy_device_has_none():
    healthy = registry.find_device("telesurgery-robot")
    for name, defect in DEFECTS.items():
        assert traits_of(healthy.with_defects({name: defect.size})) != traits_of(healthy)
        assert defect.breaks


def test_defects_are_parsed_with_their_sizes():
    assert parse_defect("late-alarm=1.5s") == ("late-alarm", 1.5)
    assert parse_defect("late-alarm") == ("late-alarm", 0.7)
    for text in ("late-alarm=3", "never-switches=2s", "sleepy"):
        with pytest.raises(InputError):
            parse_defect(text)


def test_everything_that_the_catalogue_wants_declared_can_be(tmp_path):
    wanted = {
        key
        for entry in load_catalogue().values()
        if entry.kind != "declaration"
        for key in entry.declared
    }
    assert wanted - DECLARED == {"alarm.within_s"}
    path = tmp_path / "device.toml"
    more = '[declares]\ntop_stream_rate = "300kbit/s"'
    path.write_text(TEXT.replace("[declares]", more, 1))
    declares = load_profile(path).declares
    assert declares["top_stream_rate_bps"] == 3e5
    assert (declares["display_error"], declares["access_methods"]) == (0.25, 2)


REAL = re.sub(r"(?m)^(machine|carriage) = .*\n", "", TEXT)
FORCE = '[[streams]]\nname = "force-feedback"'

WIRE = """
[streams.wire]
starts_with = "5442 0101"
number = { offset = 4, bytes = 4 }
"""


def real_device(tmp_path, wire=WIRE):
    """The robot as a real device, with a wire for its second stream."""
    path = tmp_path / "real.toml"
    path.write_text(
        REAL.replace(
            '[[streams]]\nname = "force-feedback"', f'{wire}\n[[streams]]\nname = "force-feedback"'
        )
    )
    return load_profile(path)


def test_a_real_device_says_how_its_packets_are_told_and_numbered(tmp_path):
    rules = {rule.name: rule for rule in rules_of(real_device(tmp_path))}
    number = SequenceField(4, 4, ">")
    assert rules["haptic-command"] == StreamRule(
        "haptic-command", 17, 7001, bytes.fromhex("54420101"), number
    )
    assert rules["control"] == StreamRule("control", 17, 7000)
    other = WIRE.replace("bytes = 4", 'bytes = 2, order = "little"')
    rules = {rule.name: rule for rule in rules_of(real_device(tmp_path, other))}
    assert rules["haptic-command"].sequence == SequenceField(4, 2, "<")
    tcp = '[streams.wire]\nprotocol = "tcp"'
    rules = {rule.name: rule for rule in rules_of(real_device(tmp_path, tcp))}
    assert rules["haptic-command"] == StreamRule("haptic-command", 6, 7001)


def test_a_real_device_names_no_carriage(tmp_path):
    with pytest.raises(InputError, match="carriage"):
        real_device(tmp_path, 'carriage = "mllp"')


def test_a_stream_over_tcp_is_told_by_segments_with_data():
    robot = registry.find_device("telesurgery-robot")
    stream = replace(robot.streams[1], carriage="mllp")
    (rule,) = rules_of(replace(robot, streams=(stream,)))
    assert rule == StreamRule("haptic-command", 6, 7001, segments=True)
    assert replace(robot, streams=(stream,)).fingerprint != robot.fingerprint


def test_a_wire_survives_a_recording(tmp_path):
    stream = real_device(tmp_path).stream("haptic-command")
    assert from_json(Stream, to_json(stream), file="session.json") == stream


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("5442 0101", "54420", "starts_with"),
        ("5442 0101", "00" * 9, "8 bytes"),
        ("bytes = 4", "bytes = 3", "1, 2, 4 or 8"),
        ("bytes = 4", 'bytes = 4, order = "big"', "network, little"),
        ("offset = 4", "offset = 1470", "offset"),
        ("offset = 4", "offzet = 4", "offset"),
        ("starts_with", "start", "starts_with"),
        ("[streams.wire]", '[streams.wire]\nprotocol = "tcp"', "TCP"),
        ("[streams.wire]", '[streams.wire]\nprotocol = "sctp"', "udp, tcp"),
    ],
)
def test_a_wire_that_cannot_be_is_refused(tmp_path, old, new, expected):
    with pytest.raises(InputError) as caught:
        real_device(tmp_path, WIRE.replace(old, new))
    assert expected in caught.value.line()
    assert "real.toml" in caught.value.line()


def test_a_simulated_device_has_the_wire_of_the_bench(broken):
    assert "simulated" in broken(FORCE, f"{WIRE}\n{FORCE}")


def test_what_a_stream_needs_of_a_network_is_read_and_names_no_run_anew():
    console = registry.find_device("remote-mri-console").stream("console")
    assert (console.most_delay_s, console.most_loss) == (0.1, 0.005)
    robot = registry.find_device("telesurgery-robot")
    silent = [replace(each, most_delay_s=None, most_loss=None) for each in robot.streams]
    robot = replace(robot, streams=tuple(silent))
    stated = replace(robot.streams[0], most_delay_s=0.02)
    changed = replace(robot, streams=(stated, *robot.streams[1:]))
    assert changed.fingerprint != robot.fingerprint
    data = asdict(robot)
    assert (data.pop("radio"), data.pop("coexistence")) == (None, None)
    for stream in data["streams"]:
        assert (stream.pop("most_delay_s"), stream.pop("most_loss")) == (None, None)
        if stream["slices"] == 1:
            del stream["slices"]
        if stream["carriage"] == "datagram":
            del stream["carriage"]
    text = json.dumps(data, sort_keys=True)
    assert robot.fingerprint == hashlib.sha256(text.encode()).hexdigest()


def test_every_video_of_the_devices_travels_as_rtp():
    for name in registry.names():
        for stream in registry.find_device(name).streams:
            video = any("video" in kind or kind == "medical-image" for kind in stream.kinds)
            video = video or stream.name == "ultrasound"
            assert (stream.carriage == "rtp") == video, (name, stream.name)


@pytest.mark.parametrize("name", ["mobile-dr-ct", "remote-mri-console"])
def test_an_imaging_device_states_what_each_stream_needs_and_no_looser_than_documents(name):
    profile = registry.find_device(name)
    for stream in profile.streams:
        stated = stream.most_delay_s is not None and stream.most_loss is not None
        assert stated or "dicom" in stream.kinds
    assert looser_than_documents(profile, load_catalogue().requirements.values()) == ()
    access = [function for function in profile.functions if function.startswith("access-")]
    assert profile.declares["access_methods"] == len(access)
    images = profile.stream("images")
    assert images.rate_bps > 240e6, "table 1 of the CAICT report: more than 240 Mbit/s"


def test_a_patient_is_only_in_states_of_a_patient():
    """A technical alarm is never the patient's state: the bedside would raise and end it itself."""
    found = {
        name: conditions(registry.find_device(name))
        for name in ("icu-bed", "home-monitor", "capsule-endoscope", "glucose-meter")
    }
    assert found == {
        "icu-bed": ("asystole", "ventilator-disconnected"),
        "home-monitor": ("tachycardia",),
        "capsule-endoscope": (),
        "glucose-meter": ("hypoglycaemia",),
    }
