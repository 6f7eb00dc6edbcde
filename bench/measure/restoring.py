"""US-2: backup and restore, one trial."""

from __future__ import annotations

from bench.devices.profile import AlarmProfile
from bench.measure import events as ev
from bench.sessions.recording import Recording
from bench.units import ns

LEAST_RECORDS = 4
"""Records older than the restore point that must have been made, or nothing is shown."""


def us_2(recording: Recording, alarm: AlarmProfile | None) -> tuple[float, ev.Details]:
    """Time from the order to restore until the archive lists every record that it owes, unaltered.

    It owes those made longer before the failure than D:restore_point. It shows something only if
    the archive was seen empty after the failure. A record that is altered after the restore is
    ``inf``.
    """
    point_s = recording.device.declares.get("restore_point_s")
    if point_s is None:
        raise ev.Cannot("not declared: D:restore_point_s")
    failed, ordered = _action(recording, "fail-storage"), _action(recording, "restore-backup")
    if ordered < failed:
        raise ev.Cannot("the restore was ordered before the storage failed")
    made = [e for e in recording.named("record", side="patient") if e.origin == "contact"]
    before = {e.value["id"]: e.value["sha256"] for e in made if e.t_ns <= failed}
    owed = [e.value["id"] for e in made if e.t_ns <= failed - ns(point_s)]
    if len(owed) < LEAST_RECORDS:
        raise ev.Cannot(f"only {len(owed)} records were older than the restore point")
    lists = [e for e in recording.named("archive", side="patient") if e.origin == "signal"]
    seen = [e for e in lists if failed <= e.t_ns <= ordered]
    if not seen or seen[-1].value["records"]:
        raise ev.Cannot("the archive was not seen empty after the storage failed")
    details: ev.Details = {"made": float(len(before)), "owed": float(len(owed))}
    shown = [e for e in lists if e.t_ns > ordered]
    altered = [
        name
        for event in shown
        for name, sha256 in event.value["records"].items()
        if before.get(name, sha256) != sha256
    ]
    if altered:
        details["wrong"] = f"record {altered[0]} is not what it was"
        return ev.NEVER, details
    for event in shown:
        missing = [name for name in owed if name not in event.value["records"]]
        details["missing"] = float(len(missing))
        details["lost"] = float(sum(name not in event.value["records"] for name in before))
        if not missing:
            return (event.t_ns - ordered) / 1e9, details
    deadline_s = recording.device.declares.get("restore_within_s", 0.0)
    return ev.never(recording, ordered, deadline_s, details), details


def _action(recording: Recording, name: str) -> int:
    for event in recording.named("action"):
        if event.value.get("name") == name:
            return event.t_ns
    raise ev.Cannot(f"the bench did not carry out {name}")
