"""EMC-1, EXP-1, LIC-1 and TRAIN-1: the device profile names a report that still holds."""

import pytest

REPORTS = ["EMC-1", "EXP-1", "LIC-1", "TRAIN-1"]


@pytest.mark.parametrize(
    "report", [pytest.param(name, marks=pytest.mark.requirement(name)) for name in REPORTS]
)
def test_report_is_declared(report, recordings, judge):
    """Report, laboratory and date; not expired. No session shows it, so none is run."""
    judge(recordings)
