"""KPI-*: every stream keeps the limits documented for its device class."""

import pytest

from testplans import kpi

pytestmark = pytest.mark.device_class("diagnosis")

test_stream_meets_its_documented_limit = kpi.test_stream_meets_its_documented_limit
test_transfers_a_set_in_the_documented_time = kpi.test_transfers_a_set_in_the_documented_time
