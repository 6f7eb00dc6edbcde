"""The second reading of quotations finds what stands there, misprints included, and no more."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

FILE = Path(__file__).with_name("quotations.py")


@pytest.fixture(scope="module")
def quotes():
    spec = importlib.util.spec_from_file_location("quotations", FILE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("text", "unit", "conversion", "wanted"),
    [
        ("<150ms", "s", "as-written", [0.15]),
        ("3-30ms", "s", "as-written", [0.003, 0.03]),
        ("100 毫秒", "s", "as-written", [0.1]),
        ("经过近4个小时", "s", "as-written", [14400]),
        ("耗时半小时", "s", "in-words", [1800]),
        ("秒级", "s", "in-words", [1, 10]),
        ("毫秒级", "s", "in-words", [0.001, 0.01]),
        ("每分钟", "s", "in-words", [60]),
        (">>1月(<1年)", "s", "month-30d", [30 * 86400]),
        (">>1月(<1年)", "s", "year-365d", [365 * 86400]),
        ("保存7天", "s", "as-written", [7 * 86400]),
        ("86.4kps", "bit/s", "as-written", [86400]),
        ("1.536Mbs", "bit/s", "as-written", [1.536e6]),
        ("25 Mbits/s", "bit/s", "as-written", [25e6]),
        ("~2Mbit/s\n/16Mbit/s", "bit/s", "as-written", [2e6, 16e6]),
        ("137 Mbps- 1.6Gbps", "bit/s", "as-written", [137e6, 1.6e9]),
        ("$>120\\text{Mbps}$", "bit/s", "as-written", [120e6]),
        ("128kbit/s", "bit/s", "binary", [128 * 1024]),
        ("72kbps", "bit/s", "tolerance", [68400, 75600]),
        ("10M带宽", "bit/s", "as-written", [10e6]),
        ("300Mbyte", "bit", "as-written", [2.4e9]),
        ("300MB", "bit", "binary", [300 * 8 * 1024**2]),
        ("3840KB", "bit", "bytes", [3840e3]),
        ("<10-3", "1", "superscript", [0.001]),
        ("< 10 -10", "1", "superscript", [1e-10]),
        ("99.99", "1", "percent", [0.9999]),
        ("0.8256%", "1", "as-written", [0.008256]),
        ("丢包率 1%", "1", "complement", [0.99]),
        ("500 Km/h", "m/s", "as-written", [500 / 3.6]),
        ("5000 多公里外", "m", "as-written", [5e6]),
        ("≤10m", "m", "as-written", [10]),
        ("100万每平方公里", "1/m2", "as-written", [1]),
        ("3.5GHz", "Hz", "as-written", [3.5e9]),
        ("15~75帧", "Hz", "as-written", [15, 75]),
        ("640X480", "count", "as-written", [640, 480]),
        ("六大系统", "count", "as-written", [6]),
        ("双路视频", "count", "as-written", [2]),
        ("4路4K视频", "count", "as-written", [4]),
        ("★★", "count", "as-written", [2]),
        ("1080P", "count", "as-written", []),
        ("缺一不可", "count", "as-written", []),
        ("5G网络", "bit/s", "as-written", []),
        ("150ms", "bit/s", "as-written", []),
    ],
)
def test_values(quotes, text, unit, conversion, wanted):
    found = {float(value) for value in quotes.derivable([text], unit, conversion)}
    assert sorted(found) == pytest.approx(sorted(wanted), rel=1e-12)


@pytest.mark.parametrize(
    ("text", "sign"),
    [
        ("<150ms", "<"),
        ("≤ 50ms", "<="),
        (">>1月", ">"),
        ("≥40Mbps", ">="),
        ("不超过 5 路", "<="),
        ("不低于20Mbps", ">="),
        ("低于50ms", "<"),
        ("12小时以上", ">="),
        ("25及以上", ">="),
        ("100ms以下", "<="),
        ("3-30ms", ""),
        ("25Mbit/s", ""),
    ],
)
def test_signs(quotes, text, sign):
    assert [figure.sign for figure in quotes.figures(text)][:1] == [sign]


def test_a_unit_in_the_column_head_serves_the_cell(quotes):
    assert quotes.derivable(["1 - 2", "上行带宽Mbps"], "bit/s", "as-written") == [1e6, 2e6]
    assert quotes.derivable(["1 - 2"], "bit/s", "as-written") == []
