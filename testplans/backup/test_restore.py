"""US-2: backup and restore."""

import pytest


@pytest.mark.needs("backup")
@pytest.mark.requirement("US-2")
@pytest.mark.scenario("storage-failure")
def test_a_restore_brings_back_what_it_owes(recordings, judge):
    """After the storage failed, every record older than the restore point is there in time."""
    judge(recordings)
