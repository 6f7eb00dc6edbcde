"""A laboratory's own catalogue file: read by the same rules, each mistake named with its remedy."""

from __future__ import annotations

import pytest

from bench.errors import InputError
from bench.requirements.loader import load_catalogue

DOCUMENT = f"""
[documents.LAB]
title = "House specification"
publisher = "Laboratory"
year = "2025"
sha256 = "{"a" * 64}"
"""
ENTRY = """
[[requirements]]
id = "LAB-1"
file = "LAB"
place = "clause 4"
text = "20 ms"
title = "Delay"
reading = "The delay is at most 20 ms."
device_class = "therapy"
stream = "force"
direction = "both"
kind = "requirement"
rule = "guard-band"
metric = "delay-p99"
"""
FIGURE = 'comparator = "<="\nlow = "20ms"\n'
READING = '[[requirements.readings]]\ncomparator = "<="\nlow = "20ms"\nreason = "why"\n'
GOOD = DOCUMENT + ENTRY + FIGURE


def load(tmp_path, text):
    path = tmp_path / "lab.toml"
    path.write_text(text, encoding="utf-8")
    return load_catalogue([path])


def test_own_file_joins_the_built_in_catalogue(tmp_path):
    catalogue = load(tmp_path, GOOD)
    entry = catalogue.get("LAB-1")
    assert (entry.low, entry.comparator, entry.metric) == (0.02, "<=", "delay-p99")
    assert entry.source.document == "House specification"
    assert len(catalogue) == len(load_catalogue()) + 1
    assert catalogue.sha256 != load_catalogue().sha256


def test_readings_with_one_default(tmp_path):
    rival = READING.replace("20ms", "10ms").replace("<=", "<")
    text = DOCUMENT + ENTRY + rival + READING + "default = true\n"
    entry = load(tmp_path, text).get("LAB-1")
    assert (entry.low, entry.comparator) == (0.02, "<=")
    assert [reading.low for reading in entry.readings] == [0.02, 0.01]


def test_reading_may_use_another_metric(tmp_path):
    loss = READING.replace("20ms", "1e-3") + 'metric = "loss"\n'
    entry = load(tmp_path, DOCUMENT + ENTRY + READING + "default = true\n" + loss).get("LAB-1")
    assert (entry.readings[1].metric, entry.readings[1].low) == ("loss", 1e-3)


def without(key: str) -> str:
    return "".join(line for line in GOOD.splitlines(True) if not line.startswith(f"{key} ="))


BROKEN = {
    "unknown key": (GOOD + 'colour = "red"\n', "requirements[LAB-1].colour", "unknown key"),
    "misspelt key": (GOOD + 'hihg = "3ms"\n', "requirements[LAB-1].hihg", "did you mean high"),
    "unknown section": ("[requirement]\n" + GOOD, "requirement", "did you mean requirements"),
    "missing title": (without("title"), "documents.LAB.title", "is missing"),
    "missing reading": (without("reading"), "requirements[LAB-1].reading", "is missing"),
    "missing kind": (without("kind"), "requirements[LAB-1].kind", "is missing"),
    "missing figure": (without("low"), "requirements[LAB-1].low", "is missing"),
    "missing metric": (without("metric"), "requirements[LAB-1].metric", "exactly one"),
    "twice": (GOOD + ENTRY + FIGURE, "requirements[LAB-1].id", "stands twice"),
    "twice with the built-in": (
        GOOD.replace('"LAB-1"', '"MON-2"'),
        "requirements[MON-2].id",
        "stands twice",
    ),
    "document twice": (
        GOOD.replace("documents.LAB", "documents.000"),
        "documents.000.title",
        "twice",
    ),
    "two defaults": (
        DOCUMENT + ENTRY + 2 * (READING + "default = true\n"),
        "requirements[LAB-1].readings",
        "has 2 defaults",
    ),
    "no default": (DOCUMENT + ENTRY + READING, "requirements[LAB-1].readings", "has no default"),
    "figure and readings": (
        GOOD + READING + "default = true\n",
        "requirements[LAB-1].low",
        "default reading",
    ),
    "no reason": (
        DOCUMENT + ENTRY + READING.replace('reason = "why"', "default = true"),
        "requirements[LAB-1].readings[1].reason",
        "is missing",
    ),
    "unknown unit": (GOOD.replace("20ms", "20parsec"), "requirements[LAB-1].low", "unknown unit"),
    "no unit": (GOOD.replace('"20ms"', '"20"'), "requirements[LAB-1].low", "has no unit"),
    "bare number": (GOOD.replace('"20ms"', "0.02"), "requirements[LAB-1].low", "has no unit"),
    "infinite": (GOOD.replace('"20ms"', "inf"), "requirements[LAB-1].low", "has no unit"),
    "infinite text": (GOOD.replace("20ms", "1e999s"), "requirements[LAB-1].low", "not finite"),
    "infinite product": (GOOD.replace("20ms", "1e308d"), "requirements[LAB-1].low", "not finite"),
    "not a number": (GOOD.replace('"20ms"', '"nan s"'), "requirements[LAB-1].low", "not a number"),
    "negative": (GOOD.replace("20ms", "-20ms"), "requirements[LAB-1].low", "is negative"),
    "unknown metric": (GOOD.replace("delay-p99", "delay-p98"), "requirements[LAB-1].metric", "use"),
    "unknown term": (
        GOOD.replace('metric = "delay-p99"', 'term = "latency"'),
        "requirements[LAB-1].term",
        "use one of delay",
    ),
    "unknown comparator": (GOOD.replace('"<="', '"=<"'), "requirements[LAB-1].comparator", "<="),
    "unknown kind": (GOOD.replace('"requirement"', '"wish"'), "requirements[LAB-1].kind", "sizing"),
    "unknown rule": (GOOD.replace("guard-band", "guess"), "requirements[LAB-1].rule", "safety"),
    "unknown direction": (GOOD.replace('"both"', '"up"'), "requirements[LAB-1].direction", "both"),
    "unknown class": (
        GOOD.replace('"therapy"', '"toy"'),
        "requirements[LAB-1].device_class",
        "diagnosis",
    ),
    "unknown points": (
        GOOD + 'reference_points = "here-there"\n',
        "requirements[LAB-1].reference_points",
        "app-app",
    ),
    "unknown document": (
        GOOD.replace('file = "LAB"', 'file = "999"'),
        "requirements[LAB-1].file",
        "LAB",
    ),
    "bad digest": (GOOD.replace("a" * 64, "abc"), "documents.LAB.sha256", "64 hexadecimal"),
    "range upside down": (
        GOOD.replace('"<="', '"in"') + 'high = "10ms"\n',
        "requirements[LAB-1].high",
        "no range",
    ),
    "range without end": (GOOD.replace('"<="', '"in"'), "requirements[LAB-1].high", "no range"),
    "end without range": (GOOD + 'high = "30ms"\n', "requirements[LAB-1].high", "no meaning"),
    "not text": (GOOD.replace('"20 ms"', "20"), "requirements[LAB-1].text", "quotes"),
    "empty text": (GOOD.replace('"20 ms"', '""'), "requirements[LAB-1].text", "is empty"),
    "not a list": (GOOD + 'declared = "x"\n', "requirements[LAB-1].declared", "list of texts"),
    "not a flag": (
        DOCUMENT + ENTRY + READING + 'default = "yes"\n',
        "requirements[LAB-1].readings[1].default",
        "true",
    ),
    "open without declaration": (
        without("low").replace('"requirement"', '"behaviour"'),
        "requirements[LAB-1].declared",
        "nothing gives a limit",
    ),
    "no tables": ("requirements = 3\n", "requirements", "[[requirements]]"),
    "not TOML": ("requirements = [\n", "", "not TOML"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_mistake_is_named_with_its_remedy(case, tmp_path):
    text, place, words = BROKEN[case]
    with pytest.raises(InputError) as caught:
        load(tmp_path, text)
    message = str(caught.value)
    assert message.startswith(str(tmp_path / "lab.toml"))
    assert place in message
    assert words in message
    assert caught.value.remedy
    assert "\n" not in message


def test_unreadable_files(tmp_path):
    binary = tmp_path / "binary.toml"
    binary.write_bytes(b"\xff\xfe\x00")
    absent = tmp_path / "none.toml"
    for path, words in ((absent, "no such file"), (binary, "UTF-8"), (tmp_path, "be read")):
        with pytest.raises(InputError, match=words) as caught:
            load_catalogue([path])
        assert str(path) in str(caught.value)
