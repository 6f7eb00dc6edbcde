"""Where the device fails beside other radios: the ratio is reported, no limit is set for it."""

import pytest


@pytest.mark.requirement("COEX-1")
def test_the_failing_ratio_is_looked_for(failure_region):
    """Every column of the plan was explored; the report shows what was found, or why nothing."""
    assert all(column.points for column in failure_region.columns)
