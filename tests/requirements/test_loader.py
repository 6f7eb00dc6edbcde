"""A laboratory's own catalogue file: read by the same rules, each mistake named with its remedy."""

from __future__ import annotations

import shutil

import pytest

from bench.errors import InputError
from bench.requirements import loader
from bench.requirements.loader import load_catalogue

REAL = loader.DATA

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
BEHAVIOUR = ENTRY.replace("LAB-1", "LAB-B").replace('"requirement"', '"behaviour"')
BEHAVIOUR += 'comparator = "<="\ndeclared = ["local_stop_within_s"]\n'
STATEMENT = """
[[statements]]
id = "LAB-S"
file = "LAB"
place = "clause 6"
text = "stops at once"
reading = "The device stops at once."
device_class = "therapy"
mission = ["LOC-1"]
"""
OTHER = ENTRY.replace("LAB-1", "LAB-2") + FIGURE
METRIC = """
[metrics.house-delay]
title = "delay by the house rule"
definition = "median of the one-way delay"
unit = "s"
reference_points = "app-app"
"""
TERM = """
[terms.house]
metric = "house-delay"
reason = "the house says so"

[[terms.house.rivals]]
metric = "delay-p99"
reason = "others say so"
"""


@pytest.fixture(scope="module")
def built_in(tmp_path_factory):
    """A small built-in catalogue: the real documents and metrics, and an entry of each sort."""
    folder = tmp_path_factory.mktemp("built-in")
    for name in ("documents.toml", "metrics.toml"):
        shutil.copy(REAL / name, folder)
    behaviours = [BEHAVIOUR.replace("LAB-B", name) for name in ("LOC-1", "MON-2")]
    figure = OTHER.replace("LAB-2", "BUILT-IN")
    statement = STATEMENT.replace("LAB-S", "BUILT-IN-S")
    text = "".join([*behaviours, figure, statement]).replace('"LAB"', '"000"')
    (folder / "entries.toml").write_text(text)
    return folder


@pytest.fixture(autouse=True)
def _small(monkeypatch, built_in):
    monkeypatch.setattr(loader, "DATA", built_in)


def load(tmp_path, text):
    path = tmp_path / "lab.toml"
    path.write_text(text, encoding="utf-8")
    return load_catalogue([path])


def test_own_file_joins_the_built_in_catalogue(tmp_path, monkeypatch):
    monkeypatch.setattr(loader, "DATA", REAL)
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


def test_a_file_of_the_laboratory_is_whole_without_defaults(tmp_path):
    """``[defaults]`` fill in what its entries leave out, in this file only."""
    text = DOCUMENT + '[defaults]\nfile = "LAB"\ndevice_class = "network"\n' + STATEMENT
    text = text.replace('file = "LAB"\nplace', "place").replace('device_class = "therapy"\n', "")
    statement = load(tmp_path, text).statements["LAB-S"]
    assert (statement.source.file, statement.device_class) == ("LAB", "network")


def test_statement(tmp_path):
    catalogue = load(tmp_path, DOCUMENT + STATEMENT)
    statement = catalogue.statements["LAB-S"]
    assert (statement.kind, statement.mission, statement.note) == ("behaviour", ("LOC-1",), "")
    assert statement.source.document == "House specification"
    assert "LAB-S" not in catalogue
    assert catalogue.entry("LAB-S") is statement
    assert catalogue.sha256 != load_catalogue().sha256


def test_statement_that_only_a_document_answers(tmp_path):
    text = DOCUMENT + STATEMENT + 'kind = "declaration"\nnote = "by its report"\n'
    statement = load(tmp_path, text).statements["LAB-S"]
    assert (statement.kind, statement.note) == ("declaration", "by its report")


def test_statement_answered_by_a_behaviour_of_the_laboratory(tmp_path):
    text = DOCUMENT + STATEMENT.replace("LOC-1", "LAB-B") + BEHAVIOUR
    assert load(tmp_path, text).statements["LAB-S"].mission == ("LAB-B",)


def test_figure_shown_by_a_behaviour(tmp_path):
    assert load(tmp_path, GOOD + 'mission = ["LOC-1"]\n').get("LAB-1").mission == ("LOC-1",)


def test_conflict_told_on_both_sides(tmp_path):
    text = GOOD + 'conflicts = ["LAB-2"]\n' + OTHER + 'conflicts = ["LAB-1"]\n'
    catalogue = load(tmp_path, text)
    assert catalogue.get("LAB-1").conflicts == ("LAB-2",)
    assert catalogue.get("LAB-2").conflicts == ("LAB-1",)


def test_a_figure_may_conflict_with_a_statement(tmp_path):
    text = GOOD + 'conflicts = ["LAB-S"]\n' + STATEMENT + 'conflicts = ["LAB-1"]\n'
    assert load(tmp_path, text).statements["LAB-S"].conflicts == ("LAB-1",)


def test_conversion_of_the_entry_is_that_of_its_readings(tmp_path):
    assert load(tmp_path, GOOD).get("LAB-1").readings[0].conversion == "as-written"
    entry = load(tmp_path, GOOD + 'conversion = "nominal"\n').get("LAB-1")
    assert [reading.conversion for reading in entry.readings] == ["nominal"]
    own = READING + 'default = true\nconversion = "in-words"\n' + READING.replace("20ms", "3ms")
    text = DOCUMENT + ENTRY + 'conversion = "nominal"\n' + own
    entry = load(tmp_path, text).get("LAB-1")
    assert [reading.conversion for reading in entry.readings] == ["in-words", "nominal"]


def test_metric_and_term_of_the_laboratory(tmp_path):
    text = DOCUMENT + METRIC + TERM + ENTRY.replace('metric = "delay-p99"', 'term = "house"')
    catalogue = load(tmp_path, text + FIGURE)
    entry = catalogue.get("LAB-1")
    assert [r.metric for r in entry.readings] == ["house-delay", "delay-p99"]
    assert [r.reference_points for r in entry.readings] == ["app-app", "interface-interface"]
    assert [r.reason for r in entry.readings] == ["the house says so", "others say so"]
    assert catalogue.metrics["house-delay"].definition == "median of the one-way delay"


def test_two_files_of_the_laboratory_use_each_other(tmp_path):
    one, two = tmp_path / "one.toml", tmp_path / "two.toml"
    one.write_text(ENTRY.replace("delay-p99", "house-delay") + FIGURE)
    two.write_text(DOCUMENT + METRIC)
    assert load_catalogue([one, two]).get("LAB-1").metric == "house-delay"


def without(key: str) -> str:
    return "".join(line for line in GOOD.splitlines(True) if not line.startswith(f"{key} ="))


AT = "requirements[LAB-1]."
SAID_AT = "statements[LAB-S]."
SAID = DOCUMENT + STATEMENT
MEANT = DOCUMENT + METRIC + TERM
CHOSEN = DOCUMENT + ENTRY + READING + "default = true\n"
BROKEN = {
    "unknown key": (GOOD + 'colour = "red"\n', AT + "colour", "unknown key"),
    "misspelt key": (GOOD + 'hihg = "3ms"\n', AT + "hihg", "did you mean high"),
    "unknown section": ("[requirement]\n" + GOOD, "requirement", "did you mean requirements"),
    "missing title": (without("title"), "documents.LAB.title", "is missing"),
    "missing reading": (without("reading"), AT + "reading", "is missing"),
    "missing kind": (without("kind"), AT + "kind", "is missing"),
    "missing figure": (without("low"), AT + "low", "is missing"),
    "missing metric": (without("metric"), AT + "metric", "exactly one"),
    "twice": (GOOD + ENTRY + FIGURE, AT + "id", "stands twice"),
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
        AT + "readings",
        "has 2 defaults",
    ),
    "no default": (DOCUMENT + ENTRY + READING, AT + "readings", "has no default"),
    "figure and readings": (GOOD + READING + "default = true\n", AT + "low", "default reading"),
    "no reason": (
        DOCUMENT + ENTRY + READING.replace('reason = "why"', "default = true"),
        AT + "readings[1].reason",
        "is missing",
    ),
    "unknown unit": (GOOD.replace("20ms", "20parsec"), AT + "low", "unknown unit"),
    "no unit": (GOOD.replace('"20ms"', '"20"'), AT + "low", "has no unit"),
    "bare number": (GOOD.replace('"20ms"', "0.02"), AT + "low", "has no unit"),
    "infinite": (GOOD.replace('"20ms"', "inf"), AT + "low", "has no unit"),
    "infinite text": (GOOD.replace("20ms", "1e999s"), AT + "low", "not finite"),
    "infinite product": (GOOD.replace("20ms", "1e308d"), AT + "low", "not finite"),
    "not a number": (GOOD.replace('"20ms"', '"nan s"'), AT + "low", "not a number"),
    "negative": (GOOD.replace("20ms", "-20ms"), AT + "low", "is negative"),
    "unknown metric": (GOOD.replace("delay-p99", "delay-p98"), AT + "metric", "use"),
    "unknown term": (
        GOOD.replace('metric = "delay-p99"', 'term = "latency"'),
        AT + "term",
        "use one of delay",
    ),
    "unknown comparator": (GOOD.replace('"<="', '"=<"'), AT + "comparator", "<="),
    "unknown kind": (GOOD.replace('"requirement"', '"wish"'), AT + "kind", "sizing"),
    "unknown rule": (GOOD.replace("guard-band", "guess"), AT + "rule", "safety"),
    "unknown direction": (GOOD.replace('"both"', '"up"'), AT + "direction", "both"),
    "unknown class": (GOOD.replace('"therapy"', '"toy"'), AT + "device_class", "diagnosis"),
    "unknown points": (
        GOOD + 'reference_points = "here-there"\n',
        AT + "reference_points",
        "app-app",
    ),
    "unknown document": (GOOD.replace('file = "LAB"', 'file = "999"'), AT + "file", "LAB"),
    "bad digest": (GOOD.replace("a" * 64, "abc"), "documents.LAB.sha256", "64 hexadecimal"),
    "range upside down": (
        GOOD.replace('"<="', '"in"') + 'high = "10ms"\n',
        AT + "high",
        "no range",
    ),
    "range without end": (GOOD.replace('"<="', '"in"'), AT + "high", "no range"),
    "end without range": (GOOD + 'high = "30ms"\n', AT + "high", "no meaning"),
    "not text": (GOOD.replace('"20 ms"', "20"), AT + "text", "quotes"),
    "empty text": (GOOD.replace('"20 ms"', '""'), AT + "text", "is empty"),
    "not a list": (GOOD + 'declared = "x"\n', AT + "declared", "list of texts"),
    "not a flag": (
        DOCUMENT + ENTRY + READING + 'default = "yes"\n',
        AT + "readings[1].default",
        "true",
    ),
    "open without declaration": (
        without("low").replace('"requirement"', '"behaviour"'),
        AT + "declared",
        "nothing gives a limit",
    ),
    "unknown conversion": (GOOD + 'conversion = "guess"\n', AT + "conversion", "superscript"),
    "unknown reading's conversion": (
        CHOSEN + 'conversion = "guess"\n',
        AT + "readings[1].conversion",
        "superscript",
    ),
    "conflict with nothing": (
        GOOD + 'conflicts = ["LAB-9"]\n',
        AT + "conflicts",
        "unknown entry 'LAB-9'",
    ),
    "conflict on one side": (
        GOOD + 'conflicts = ["LAB-2"]\n' + OTHER,
        AT + "conflicts",
        "does not name LAB-1 back",
    ),
    "statement's one-sided conflict": (
        GOOD + STATEMENT + 'conflicts = ["LAB-1"]\n',
        SAID_AT + "conflicts",
        "not name LAB-S back",
    ),
    "conflict with itself": (GOOD + 'conflicts = ["LAB-1"]\n', AT + "conflicts", "itself"),
    "mission of nothing": (
        SAID.replace("LOC-1", "LOC-9"),
        SAID_AT + "mission",
        "'LOC-9', which is no behaviour",
    ),
    "mission that is a figure": (GOOD + 'mission = ["BUILT-IN"]\n', AT + "mission", "no behaviour"),
    "mission that is a statement": (
        GOOD + 'mission = ["LAB-S"]\n' + STATEMENT,
        AT + "mission",
        "no behaviour",
    ),
    "statement without mission": (
        SAID.replace('["LOC-1"]', "[]"),
        SAID_AT + "mission",
        "names no behaviour",
    ),
    "statement, mission left out": (
        SAID.replace('mission = ["LOC-1"]\n', ""),
        SAID_AT + "mission",
        "is missing",
    ),
    "statement with a figure": (SAID + 'low = "20ms"\n', SAID_AT + "low", "unknown key"),
    "statement of a wrong kind": (SAID + 'kind = "requirement"\n', SAID_AT + "kind", "declaration"),
    "statement of an unknown document": (
        SAID.replace('"LAB"', '"999"'),
        SAID_AT + "file",
        "unknown document",
    ),
    "statement twice": (DOCUMENT + 2 * STATEMENT, SAID_AT + "id", "stands twice"),
    "statement and figure of one id": (
        GOOD + STATEMENT.replace("LAB-S", "LAB-1"),
        "statements[LAB-1].id",
        "stands twice",
    ),
    "id of a statement": (GOOD.replace('"LAB-1"', '"BUILT-IN-S"'), ".id", "stands twice"),
    "metric twice": (
        DOCUMENT + METRIC.replace("house-delay", "loss"),
        "metrics.loss.title",
        "stands twice",
    ),
    "metric without definition": (
        DOCUMENT + METRIC.replace('definition = "median of the one-way delay"\n', ""),
        "metrics.house-delay.definition",
        "is missing",
    ),
    "metric of an unknown unit": (
        DOCUMENT + METRIC.replace('"s"', '"fortnight"'),
        "metrics.house-delay.unit",
        "bit/s",
    ),
    "metric at unknown points": (
        DOCUMENT + METRIC.replace("app-app", "here-there"),
        "metrics.house-delay.reference_points",
        "app-app",
    ),
    "term twice": (
        MEANT.replace("terms.house", "terms.delay"),
        "terms.delay.metric",
        "stands twice",
    ),
    "term of an unknown metric": (DOCUMENT + TERM, "terms.house.metric", "use one of"),
    "term without reason": (
        MEANT.replace('reason = "the house says so"\n', ""),
        "terms.house.reason",
        "is missing",
    ),
    "rival without reason": (
        MEANT.replace('reason = "others say so"\n', ""),
        "terms.house.rivals[1].reason",
        "is missing",
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
