"""MON-4, LOG-1 and LOG-2: the log holds what happened, survives, and shows tampering."""

import pytest

pytestmark = pytest.mark.needs("audit-log")


@pytest.mark.requirement("MON-4")
@pytest.mark.scenario("logged-faults")
def test_records_each_abnormal_condition(recordings, judge):
    """Each fault of the network has an entry with its true time and its figure."""
    judge(recordings)


@pytest.mark.requirement("LOG-1")
@pytest.mark.scenario("operation")
def test_log_holds_everything_that_happened(recordings, judge):
    """Operator, commands, procedure, alarms, connection, anomalies and attacks, event by event."""
    judge(recordings)


@pytest.mark.needs("attacker", "secure-channel")
@pytest.mark.requirement("LOG-1")
@pytest.mark.scenario("attacked-operation")
def test_log_holds_attacks(recordings, judge):
    """A stranger who wants in, commands that were made up: each is in the log, with all else."""
    judge(recordings)


@pytest.mark.requirement("LOG-2")
@pytest.mark.scenario("log-survival")
def test_log_survives_and_shows_tampering(recordings, judge):
    """Nothing is lost by a power cut or a full medium; each edit is evident."""
    judge(recordings)
