"""US-2, MON-2 and image sets: healthy imaging devices pass, each defect fails what it breaks."""

import runpy
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from bench.devices.defects import DEFECTS

kit = SimpleNamespace(**runpy.run_path(str(Path(__file__).parents[1] / "support/imaging.py")))
PASS, FAIL, OPEN, UNIT, MRI = kit.PASS, kit.FAIL, kit.OPEN, kit.UNIT, kit.MRI

JUDGED = {
    "storage-failure": ("US-2",),
    "primary-outage": ("MON-2", "SW-1"),
    "radio-link-failure": ("SW-1", "MOB-1"),
    "nr-handover": ("MOB-1",),
    "blackout": ("MON-2",),
    "large-image-set": (),  # a KPI, tests/measure/test_counted.py
}
BACKUP = ("rare-backup", "slow-restore", "altered-restore", "empty-restore")
OWN = ("restarts-transfer", "corrupts-image", *BACKUP)


@pytest.mark.parametrize("device", [UNIT, MRI])
@pytest.mark.parametrize("scenario", JUDGED)
def test_a_healthy_device_passes_under_a_sound_stimulus(device, scenario):
    recording = kit.play(device, scenario, 3, bare=True)
    assert kit.unsound(recording) == []
    for requirement in JUDGED[scenario]:
        found = kit.verdict(recording, requirement)
        assert found.verdict is PASS, found.reason


@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize("defect", BACKUP)
def test_a_defect_of_the_backup_fails_us_2(defect, seed):
    assert DEFECTS[defect].breaks == ("US-2",)
    recording = kit.play(UNIT, "storage-failure", seed, defect, bare=True)
    assert kit.verdict(recording, "US-2").verdict is FAIL


@pytest.mark.parametrize(
    ("defect", "scenario", "requirement"),
    [
        ("restarts-transfer", "harsh-journey", "MOB-2"),
        ("corrupts-image", "harsh-journey", "MOB-2"),
        ("corrupts-image", "site-reruns", "LIFE-1"),
        ("silent-on-the-move", "blackout", "MON-2"),
        ("never-switches", "primary-outage", "SW-1"),
    ],
)
def test_a_defect_fails_what_it_breaks(defect, scenario, requirement):
    assert requirement in DEFECTS[defect].breaks
    found = kit.verdict(kit.play(UNIT, scenario, 11, defect), requirement)
    assert found.verdict is FAIL, found.reason


def test_a_set_may_wait_until_the_device_is_connected_again_as_declared():
    """A healthy unit that takes nine tenths of its declared time to be connected again."""
    recording = kit.play(UNIT, "harsh-journey", 3, "reconnects-near-limit", bare=True, size=0.9)
    found = kit.verdict(recording, "MOB-2")
    assert found.verdict is PASS, found.reason
    assert not found.independent
    for less in (
        kit.declaring(recording, reconnect_within_s=1.0),  # slower than its maker says
        kit.declaring(recording, without=("reconnect_within_s",)),
        kit.without(recording, "connection"),
    ):
        assert kit.verdict(less, "MOB-2").verdict is FAIL


def test_an_ordinary_set_needs_no_word_of_the_device():
    found = kit.verdict(kit.play(UNIT, "harsh-journey", 3, bare=True), "MOB-2")
    assert found.verdict is PASS, found.reason
    assert found.independent


@pytest.mark.parametrize("defect", ["restarts-transfer", "corrupts-image"])
def test_a_defect_of_the_transfer_leaves_the_backup_alone(defect):
    recording = kit.play(UNIT, "storage-failure", 4, defect, bare=True)
    assert kit.verdict(recording, "US-2").verdict is PASS


def test_sizes_are_at_most_half_beyond_the_limit_that_they_break():
    declares = kit.play(UNIT, "storage-failure", 3, bare=True).device.declares
    assert DEFECTS["rare-backup"].size <= 1.5 * declares["restore_point_s"]
    assert DEFECTS["slow-restore"].size <= 1.5 * declares["restore_within_s"]


# ---- what cannot be shown --------------------------------------------------------------------


@pytest.fixture
def restored():
    return kit.play(UNIT, "storage-failure", 3, bare=True)


def refused(recording, word):
    found = kit.verdict(recording, "US-2")
    assert found.verdict is OPEN, found.reason
    assert word in found.reason


def test_a_storage_that_was_not_seen_to_fail_shows_nothing(restored):
    action = {"name": "fail-storage"}
    refused(
        kit.without(restored, "action", where=lambda e: e.value == action),
        "did not carry out fail-storage",
    )
    empty = kit.without(restored, "archive", where=lambda e: not e.value["records"])
    refused(empty, "was not seen empty")
    survived = tuple(
        replace(e, value={"records": {"r0001": "x"}})
        if e.name == "archive" and not e.value["records"]
        else e
        for e in restored.events
    )
    refused(replace(restored, events=survived), "was not seen empty")


def test_what_only_the_device_says_shows_nothing(restored):
    said = tuple(replace(e, origin="log") if e.name == "archive" else e for e in restored.events)
    refused(replace(restored, events=said), "was not seen empty")


def test_few_records_show_nothing(restored):
    few = kit.without(restored, "record", where=lambda e: e.t_ns > 600_000_000)
    refused(few, "older than the restore point")
    refused(kit.declaring(restored, without=("restore_point_s",)), "not declared")


def test_a_recording_that_ends_before_the_deadline_shows_nothing(restored):
    ordered = next(e.t_ns for e in restored.named("action") if e.value["name"] == "restore-backup")
    refused(kit.ended(restored, ordered + 500_000_000), "before the deadline")
    never = kit.without(restored, "archive", where=lambda e: e.t_ns > ordered)
    assert kit.verdict(never, "US-2").verdict is FAIL
