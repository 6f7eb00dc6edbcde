"""KPI-*: every stream keeps the limits documented for its device class."""

import pytest

from testplans import kpi

pytestmark = pytest.mark.device_class("monitoring")

test_stream_meets_its_documented_limit = kpi.test_stream_meets_its_documented_limit
test_reports_as_often_as_documented = kpi.test_reports_as_often_as_documented
