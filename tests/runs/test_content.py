"""The content hash: equal for equal content, different for any difference."""

from __future__ import annotations

import hashlib
import json
import struct
from dataclasses import asdict, replace

import numpy as np
import pytest

from bench.devices.profile import Wire
from bench.runs.content import in_order, recording_hash, run_hash
from bench.runs.folder import RunFolder
from bench.runs.reader import read_recording, read_run
from bench.sessions.packets import PacketTable, table
from bench.sessions.recording import Event


def test_independent_of_where_and_how_it_is_stored(run, record, session, identity, tmp_path):
    recording = record()
    assert recording_hash(read_recording(read_run(run.path), session.id)) == recording_hash(
        recording
    )
    other = RunFolder.create(tmp_path / "elsewhere", "another", identity)
    other.claim(session, "virtual", "virtual link").finish(recording)
    run.finish()
    other.finish()
    one, two = read_run(run.path), read_run(other.path)
    assert one.identity["content_hash"] == two.identity["content_hash"]
    assert one.identity["content_hash"] == run_hash({session.id: recording_hash(recording)})


def test_independent_of_order(make_recording, session):
    recording = make_recording(session)
    mixed = np.random.default_rng(4).permutation(recording.packets.rows)
    other = replace(recording, packets=PacketTable(mixed), events=tuple(reversed(recording.events)))
    assert recording_hash(other) == recording_hash(recording)


def test_independent_of_the_transcript(make_recording, session):
    recording = make_recording(session)
    assert recording_hash(replace(recording, transcript=())) == recording_hash(recording)


@pytest.mark.parametrize("column", ["t_ns", "tap", "direction", "link", "stream", "seq", "size"])
def test_every_column_counts(make_recording, session, column):
    recording = make_recording(session)
    rows = recording.packets.rows.copy()
    rows[column][17] ^= 1
    other = replace(recording, packets=PacketTable(rows))
    assert recording_hash(other) != recording_hash(recording)


def test_everything_else_counts(make_recording, session):
    recording = make_recording(session)
    event = Event(1, "bench", "bench", "x", 1)
    others = [
        replace(recording, events=(*recording.events, event)),
        replace(recording, events=recording.events[1:]),
        replace(recording, changes=()),
        replace(recording, health=replace(recording.health, tap_drops=1)),
        replace(recording, schedule=replace(recording.schedule, end_ns=1)),
        replace(recording, device=recording.device.with_defects({"x": 1.0})),
        replace(recording, scenario="other"),
        replace(recording, packets=PacketTable(recording.packets.rows[:-1])),
    ]
    streams = [replace(recording.device.streams[0], wire=Wire()), *recording.device.streams[1:]]
    others.append(replace(recording, device=replace(recording.device, streams=tuple(streams))))
    streams[0] = replace(recording.device.streams[0], suite="")
    others.append(replace(recording, device=replace(recording.device, streams=tuple(streams))))
    hashes = {recording_hash(r) for r in [recording, *others]}
    assert len(hashes) == len(others) + 1


def test_rows_in_order_are_not_copied():
    rows = table([(1, 0, 0, 0, 0, 0, 9), (1, 0, 0, 0, 0, 1, 8), (2, 0, 0, 0, 0, 0, 7)]).rows
    assert in_order(rows) is rows
    assert in_order(rows[:0]) is not None
    swapped = rows[[1, 0, 2]]
    assert np.array_equal(in_order(swapped), rows)


STREAM_FIELDS = "code kinds name option packets payload_bytes period_s port source title"


def test_hash_is_what_its_description_says(make_recording, session):
    """Computed here in another way: stored runs carry it, so its meaning must not drift."""
    recording = make_recording(session, 50)
    streams = tuple(replace(s, service=None) for s in recording.device.streams)
    streams = tuple(
        replace(s, carriage="datagram", most_delay_s=None, most_loss=None, slices=1)
        for s in streams
    )
    streams = (replace(streams[0], suite=""), *streams[1:])
    recording = replace(recording, device=replace(recording.device, streams=streams))

    def canonical(value):
        return json.dumps(value, sort_keys=True, separators=(",", ":"))

    device, schedule = asdict(recording.device), asdict(recording.schedule)
    assert (device.pop("radio"), device.pop("coexistence")) == (None, None)
    assert schedule.pop("exposures") == ()
    for stream in device["streams"]:
        assert stream.pop("wire") is None
        suite, service = stream.pop("suite"), stream.pop("service")
        assert service is None
        assert (stream.pop("most_delay_s"), stream.pop("most_loss")) == (None, None)
        assert stream.pop("carriage") == "datagram"
        assert stream.pop("slices") == 1
        assert " ".join(sorted(stream)) == STREAM_FIELDS, "stored runs would no longer be valid"
        stream |= {"suite": suite} if suite else {}
    events = [asdict(event) for event in recording.events]
    head = {
        "session": recording.session_id,
        "scenario": recording.scenario,
        "device": device,
        "schedule": schedule,
        "changes": [asdict(change) for change in recording.changes],
        "health": asdict(recording.health),
        "events": sorted([event["t_ns"], canonical(event)] for event in events),
    }
    digest = hashlib.sha256(canonical(head).encode() + b"\n")
    # t_ns, tap, direction, link, stream, seq, size; sorted with link after seq.
    for row in sorted(recording.packets.rows.tolist(), key=lambda r: (*r[:3], r[4], r[5], r[3])):
        digest.update(struct.pack("<qBBBBII", *row))
    assert recording_hash(recording) == digest.hexdigest()
