"""HL7 v2.6: a monitor's message comes back as it was, others can read it, nonsense is refused."""

import hl7
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.devices.hl7.messages import Ack, acknowledge, control_id, decode, encode, read_ack
from bench.devices.hl7.mllp import Frames, frame
from bench.devices.hl7.segments import escape, unescape
from bench.devices.ports import Message
from bench.devices.store import packed

ATOMS = st.none() | st.booleans() | st.integers() | st.text(max_size=6)
PLAIN = st.none() | st.dictionaries(st.text(max_size=4), ATOMS, max_size=4)
ALARMS = st.fixed_dictionaries({"on": st.lists(st.text(max_size=8), max_size=3)})
WHOLE = st.integers(-(2**31), 2**31 - 1)
RECORDS = st.builds(
    packed,
    st.integers(0, 2**31),
    st.fixed_dictionaries(
        {
            "source": st.sampled_from(["monitor", "pump", "a|b^c&d~e\\f", ""]),
            "serial": st.integers(0, 2**31),
            "values": st.dictionaries(
                st.sampled_from(["heart_rate", "rate_ul_h", "spo2", ""]) | st.text(max_size=5),
                WHOLE,
                max_size=6,
            ),
            "kind": st.sampled_from(["set", "trend"]),
            "at_ns": st.integers(0, 2**60),
        }
    ),
)
MESSAGES = st.builds(
    Message,
    stream=st.integers(0, 255),
    seq=st.integers(0, 2**32 - 1),
    sent_ns=st.integers(0, 2**62),
    value=WHOLE,
    body=PLAIN | ALARMS | RECORDS,
    tag=st.integers(-(2**63), 2**63 - 1),
    peer=st.just(0),
)
VALUES = {"heart_rate": 72, "temperature_mC": 36801, "charge_j": 150}
SET = Message(
    3,
    120,
    4_000_000_123,
    0,
    packed(
        7,
        {"source": "monitor", "serial": 9, "values": VALUES, "kind": "set", "at_ns": 3_999_000_001},
    ),
    -5,
)
ALARM = Message(2, 8, 5_000_000_000, 2, {"on": ["asystole", "ventilator-disconnected"]})


@settings(max_examples=40)
@given(MESSAGES)
def test_round_trip(message):
    again = decode(encode(message))
    assert again == message
    # The security tag is over the body as it is written: the order of its keys counts.
    assert repr(again.body) == repr(message.body)


@settings(max_examples=40)
@given(st.text(max_size=30))
def test_escapes_leave_no_delimiter(text):
    escaped = escape(text)
    assert unescape(escaped) == text
    assert not set(escaped) & set("|^&~\r\n\x0b\x1c")


@settings(max_examples=40)
@given(MESSAGES)
def test_others_read_it(message):
    text = encode(message).decode()
    parsed = hl7.parse(text)
    assert str(parsed) == text
    assert parsed.segment("MSH")[10][0] == control_id(message)
    assert parsed.segment("MSH")[12][0] == "2.6"


def test_a_set_of_measurements_reads_as_pcd_01():
    parsed = hl7.parse(encode(SET).decode())
    assert [str(s[0]) for s in parsed] == ["MSH", "PID", "OBR", "OBX", "OBX", "OBX"] + ["OBX"] * 3
    assert str(parsed.segment("MSH")[9]) == "ORU^R01^ORU_R01"
    assert str(parsed.segment("MSH")[7]) == "19700101000004.0000+0000"
    assert str(parsed.segment("MSH")[8]) == "-5"
    assert str(parsed.segment("OBR")[7]) == "19700101000003.9990+0000"
    rate = parsed.segments("OBX")[0]
    assert (str(rate[2]), str(rate[5]), str(rate[6])) == ("NM", "72", "/min^/min^UCUM")
    assert str(rate[3]) == "147842^MDC_ECG_HEART_RATE^MDC^heart_rate^^99TMB"
    # Without a code of the standard, under the device's own name.
    assert str(parsed.segments("OBX")[2][3]) == "charge_j^charge_j^99TMB"


def test_alarms_read_as_pcd_04():
    payload = encode(ALARM, {"asystole": "high", "ventilator-disconnected": "medium"})
    parsed = hl7.parse(payload.decode())
    assert str(parsed.segment("MSH")[9]) == "ORU^R40^ORU_R40"
    events = [s for s in parsed.segments("OBX") if str(s[3]) == "196616^MDC_EVT_ALARM^MDC"]
    assert [str(event[8]) for event in events] == ["PH~SP", "PM~SP"]
    assert str(events[0][5]) == "199684^MDC_EVT_ECG_ASYSTOLE^MDC^asystole^^99TMB"
    none = hl7.parse(encode(Message(2, 9, 0, 0, {"on": []})).decode())
    assert [str(s[5]) for s in none.segments("OBX")] == ["inactive"]


def test_answers():
    assert read_ack(acknowledge(encode(SET))) == Ack("AA", "3.120.4000000123")
    refused = acknowledge(encode(SET), error="no | such thing")
    assert read_ack(refused) == Ack("AE", "3.120.4000000123")
    assert hl7.parse(refused.decode()).segment("MSA")[2][0] == "3.120.4000000123"
    with pytest.raises(ValueError, match="without MSA"):
        read_ack(encode(SET))


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        (b"MSH|^~", b"MSH|~^", "begins with"),
        (b"|2.6|", b"|2.3|", "MSH-12"),
        (b"ORU^R01", b"ADT^A01", "no ORU"),
        (b"3.120.", b"3.121.9", "MSH-7"),
        (b"3.120.", b"3.x.", "MSH-10"),
        (b"|-5|", b"|secret|", "MSH-8"),
        (b"|72|", b"|7_2|", "OBX-5"),
        (b"^99TMB|", b"^99ABC|", "name of the device"),
        (b"9^monitor", b"9", "OBR-3"),
        (b"OBR|", b"OBR|\rOBR|", "one OBR"),
        (b"\rOBX|1|", b"\\Q\\\rOBX|1|", "escape"),
        (b"MONITOR", b"\xff", "UTF-8"),
    ],
)
def test_what_is_wrong_is_named(before, after, message):
    payload = encode(SET)
    assert before in payload
    with pytest.raises(ValueError, match=message):
        decode(payload.replace(before, after, 1))


@settings(max_examples=40)
@given(st.binary(max_size=80))
def test_foreign_bytes_never_crash(payload):
    for data in (payload, encode(SET)[: len(payload)] + payload):
        for read in (decode, read_ack, acknowledge):
            try:
                read(data)
            except ValueError:
                continue


@settings(max_examples=40)
@given(st.lists(st.binary(max_size=20), max_size=5), st.lists(st.integers(1, 9), min_size=1))
def test_frames_in_any_pieces(messages, pieces):
    messages = [m.replace(b"\x0b", b"").replace(b"\x1c", b"") for m in messages]
    data = b"".join(map(frame, messages))
    frames, found, place = Frames(), [], 0
    while place < len(data):
        size = pieces[len(found) % len(pieces)]
        found += frames.feed(data[place : place + size])
        place += size
    assert found == messages


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"junk\x0bm\x1c\r", "begins with"),
        (b"\x0bm\x1cx", "without 0x0D"),
        (b"\x0bm\x0bm\x1c\r", "inside a message"),
        (b"\x0bm\x1c\r\n\x0bm\x1c\r", "begins with"),
        (b"\x0b" + b"x" * (1 << 20), "more than"),
    ],
)
def test_broken_frames_are_refused(data, message):
    with pytest.raises(ValueError, match=message):
        list(Frames().feed(data))


def test_a_message_that_would_break_its_frame_is_refused():
    with pytest.raises(ValueError, match="may not hold"):
        frame(b"a\x1cb")
