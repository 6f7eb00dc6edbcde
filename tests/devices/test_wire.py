"""The simulated devices' wire format: what goes in comes out, what is foreign is refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

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
