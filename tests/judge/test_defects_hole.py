"""FAIL-4 where a link loses large packets towards the patient: voice of the ward to the bedside."""

import pytest

from bench.judge.verdict import Outcome

PASS, FAIL, OPEN = Outcome.PASS, Outcome.FAIL, Outcome.INCONCLUSIVE

BED = "icu-bed"
JUDGED = {"mtu-hole-to-patient": ("FAIL-4",)}


@pytest.mark.parametrize(("defect", "outcome"), [(None, PASS), ("no-path-probe", FAIL)])
def test_a_bedside_is_told_that_voices_do_not_arrive(played, defect, outcome):
    device = played.device(BED, defect, streams=("alarm", "audio-to-patient"))
    for seed in (1, 2):
        recording = played.play(device, "mtu-hole-to-patient", seed)
        assert played.unsound(recording) == []
        found = played.verdict(recording, "FAIL-4")
        assert found.verdict is outcome, found.reason


def test_a_hole_that_nothing_large_meets_is_open(played):
    """Neither probes nor data: nothing vanished, so that the stimulus itself is not shown."""
    device = played.device(BED, streams=("alarm",))
    recording = played.play(device, "mtu-hole-to-patient")
    assert played.verdict(recording, "FAIL-4").verdict is OPEN
