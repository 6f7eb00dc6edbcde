"""Scenarios from files: the example, every kind and event, and each mistake named."""

from __future__ import annotations

import re
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.errors import InputError
from bench.network.events import EVENTS, SURROGATE
from bench.network.impairment import CLEAN, DIRECTIONS, Delay, Impairment, bernoulli
from bench.network.profiles import load_profiles
from bench.network.scenario import Action, Window, compile_scenario
from bench.network.scenario_files import KINDS, load_scenario

DOCS = Path(__file__).parents[2] / "docs"
EXAMPLE = DOCS / "scenario.example.toml"
HEAD = 'name = "s"\ntitle = "S"\n'
LINK = '[links.primary.both]\ndelay = "20ms"\nrate = "100Mbit/s"\n'
SETTLE = '[[steps]]\nname = "settle"\nkind = "hold"\nduration = "1s"\n'
REST = '[[steps]]\nname = "rest"\nkind = "hold"\nduration = "1s"\n'
LINKED = Impairment(delay=Delay(0.02), rate_bps=100e6)
S = 1_000_000_000


def load(text, tmp_path):
    path = tmp_path / "scenario.toml"
    path.write_text(text)
    return load_scenario(path)


def schedule_of(steps, tmp_path, seed=1, links=LINK):
    return compile_scenario(load(HEAD + links + steps, tmp_path), seed)


def middle(step, tmp_path, links=LINK):
    """The states during one step between two calm ones, and the schedule."""
    schedule = schedule_of(SETTLE + "[[steps]]\n" + step + REST, tmp_path, links=links)
    window = schedule.windows[1]
    found = {
        direction: [
            (t - S, i) for t, i in schedule.of("primary", direction) if S <= t < window.end_ns
        ]
        for direction in DIRECTIONS
    }
    return found, schedule


# The example


def test_the_example_compiles_and_shows_every_kind_of_its_page():
    scenario = load_scenario(EXAMPLE)
    assert scenario.name == "ward-round"
    assert scenario.links == ("primary", "standby")
    schedule = compile_scenario(scenario, 7)
    assert schedule == compile_scenario(load_scenario(EXAMPLE), 7)
    assert schedule != compile_scenario(scenario, 8)
    assert [w.kind for w in schedule.windows] == [
        "hold", "handover", "ramp", "trace", "flap", "outage", "hold",
    ]  # fmt: skip
    assert [w.role for w in schedule.windows] == ["within", "at", *["beyond"] * 4, "within"]
    gap_s = dict(schedule.draws)["handover-2/gap"]
    assert 0.05 <= gap_s <= 0.15
    recorded = scenario.steps[3]
    assert "invented to show the format" in recorded.note
    assert "resolution 500 ms (up to 800 ms)" in recorded.note
    assert recorded.note in scenario.source
    assert scenario.actions == (
        Action("busy-cell", 0.2, "patient", "local-stop"),
        Action("recover", 0.0, "patient", "local-release"),
    )


def test_the_page_names_every_kind_event_and_key():
    page = (DOCS / "scenarios.md").read_text(encoding="utf-8")
    for word in (*KINDS, *EVENTS, "scenario.example.toml", SURROGATE):
        assert re.search(rf"(?<![\w-]){re.escape(word)}(?![\w-])", page), word
    for path in re.findall(r"```toml\n(.*?)```", page, re.S):
        assert path.strip()


def test_the_pages_own_snippets_load(tmp_path):
    page = (DOCS / "scenarios.md").read_text(encoding="utf-8")
    (tmp_path / "cell.csv").write_text("time_s,delay_ms\n0,20\n1,30\n")
    (tmp_path / "cell.mahimahi").write_text("10\n20\n")
    found = re.findall(r"```toml\n(.*?)```", page, re.S)
    steps = [text for text in found if text.startswith("[[steps]]")]
    assert len(steps) >= 6
    for text in steps:
        load(HEAD + LINK + SETTLE + text + REST, tmp_path)


# Kinds


def test_links_are_in_their_state_from_the_start(tmp_path):
    links = LINK + '[links.standby]\nprofile = "5g-standby-slice"\n'
    standby = load_profiles()["5g-standby-slice"]
    for first in (SETTLE, '[[steps]]\nkind = "outage"\nduration = "1s"\nlink = "primary"\n'):
        schedule = schedule_of(first + REST, tmp_path, links=links)
        assert schedule.of("standby", "to-doctor") == ((0, standby.to_doctor),)
        states = [i for _, i in schedule.of("primary", "to-doctor")]
        assert states == ([LINKED] if first == SETTLE else [LINKED.with_(up=False), LINKED])


def test_without_links_there_is_one_that_does_nothing(tmp_path):
    schedule = schedule_of(SETTLE, tmp_path, links="")
    assert schedule.links == ("primary",)
    assert schedule.of("primary", "to-patient") == ((0, CLEAN),)


def test_profiles_come_by_name_or_from_a_file_beside(tmp_path):
    text = '[profiles.{}]\ntitle = "t"\nsource = "s"\nsynthetic = "x"\n[profiles.{}.both]\n{}\n'
    one = text.format("a", "a", 'delay = "7ms"')
    (tmp_path / "one.toml").write_text(one)
    (tmp_path / "two.toml").write_text(one + text.format("b", "b", 'delay = "9ms"'))
    for name, mean_s in (("one.toml", 0.007), ("two.toml:b", 0.009)):
        schedule = schedule_of(SETTLE, tmp_path, links=f'[links.primary]\nprofile = "{name}"\n')
        assert schedule.of("primary", "to-doctor")[0][1].delay.mean_s == pytest.approx(mean_s)
    for name, words in (("two.toml", "more than one"), ("two.toml:c", "a, b"), ("6g", "unknown")):
        with pytest.raises(InputError, match=words):
            schedule_of(SETTLE, tmp_path, links=f'[links.primary]\nprofile = "{name}"\n')


def test_hold_changes_what_it_names_and_that_stays(tmp_path):
    step = 'kind = "hold"\nduration = "1s"\nchange = {loss = "5%", delay_factor = 2.0}\n'
    found, schedule = middle(step, tmp_path)
    changed = LINKED.with_(loss=bernoulli(0.05), delay=Delay(0.04))
    assert found["to-patient"] == [(0, changed)]
    assert schedule.of("primary", "to-patient")[-1][1] == changed


@pytest.mark.parametrize(
    ("change", "fields"),
    [
        ('delay = "30ms"', {"delay": Delay(0.03)}),
        (
            'delay = "30ms", law = "uniform", jitter = "1ms"',
            {"delay": Delay(0.03, "uniform", 1e-3)},
        ),
        ('rate = "5Mbit/s", queue = "30ms"', {"rate_bps": 5e6, "queue_s": 0.03}),
        ("rate_factor = 0.1", {"rate_bps": 10e6}),
        ('delay_shift = "-5ms"', {"delay": Delay(0.015)}),
        ("up = false", {"up": False}),
    ],
)
def test_change(change, fields, tmp_path):
    step = f'kind = "hold"\nduration = "1s"\nchange = {{{change}}}\n'
    found, _ = middle(step, tmp_path)
    assert found["to-doctor"] == [(0, LINKED.with_(**fields))]


def test_state_is_complete(tmp_path):
    profile = load_profiles()["beijing-shanghai-5g"]
    for state, expected in (
        ('"beijing-shanghai-5g"', profile.to_doctor),
        ('{delay = "3ms"}', Impairment(delay=Delay(0.003))),
        ('{to-doctor = {delay = "3ms"}, to-patient = {}}', Impairment(delay=Delay(0.003))),
    ):
        found, _ = middle(f'kind = "hold"\nduration = "1s"\nstate = {state}\n', tmp_path)
        assert found["to-doctor"] == [(0, expected)]
    back = '[[steps]]\nkind = "hold"\nduration = "1s"\nstate = "base"\n'
    away = '[[steps]]\nkind = "hold"\nname = "a"\nduration = "1s"\nstate = {}\n'
    schedule = schedule_of(SETTLE + away + back, tmp_path)
    assert [i for _, i in schedule.of("primary", "to-doctor")] == [LINKED, CLEAN, LINKED]


def test_ramp_leads_there_and_stays(tmp_path):
    step = 'kind = "ramp"\nduration = "1s"\nincrement = "100ms"\nchange = {delay = "30ms"}\n'
    found, schedule = middle(step, tmp_path)
    means = [state.delay.mean_s for _, state in found["to-patient"]]
    assert means == pytest.approx([0.020 + 0.001 * i for i in range(1, 11)])
    assert schedule.of("primary", "to-patient")[-1][1].delay == Delay(0.03)


def test_null_does_nothing_for_a_while(tmp_path):
    found, schedule = middle('kind = "null"\nduration = "1s"\n', tmp_path)
    assert found["to-patient"] == [(0, CLEAN)]
    assert schedule.of("primary", "to-patient")[-1] == (2 * S, LINKED)


@pytest.mark.parametrize("kind", ["outage", "blackout"])
@pytest.mark.parametrize("mode", ["hold", "drop"])
def test_outage(kind, mode, tmp_path):
    step = f'kind = "{kind}"\nduration = "300ms"\nmode = "{mode}"\ndirection = "to-doctor"\n'
    found, schedule = middle(step, tmp_path)
    assert found["to-patient"] == []
    assert found["to-doctor"] == [(0, LINKED.with_(hold=mode == "hold", up=mode == "hold"))]
    assert schedule.of("primary", "to-doctor")[-1] == (1_300_000_000, LINKED)
    assert schedule.windows[1].kind == kind


def test_flap(tmp_path):
    found, _ = middle('kind = "flap"\ncount = 2\ndown = "10ms"\nup = "20ms"\n', tmp_path)
    down = LINKED.with_(up=False)
    assert found["to-patient"] == [
        (0, down), (10_000_000, LINKED), (30_000_000, down), (40_000_000, LINKED),
    ]  # fmt: skip


@pytest.mark.parametrize("name", EVENTS)
def test_every_event_can_be_reached(name, tmp_path):
    text = SETTLE + f'[[steps]]\nkind = "handover"\nevent = "{name}"\nrole = "beyond"\n' + REST
    scenario = load(HEAD + LINK + text, tmp_path)
    step = scenario.steps[1]
    event = EVENTS[name]
    assert (step.kind, step.name) == (event.kind, "handover-2")
    assert SURROGATE in step.note
    assert event.source in scenario.source
    assert [s.phase for s in step.segments] == [p.name for p in event.phases]
    assert [s.duration_s for s in step.segments] == [p.duration_s for p in event.phases]
    compile_scenario(scenario, 1)


def test_phases_of_an_event_can_be_set(tmp_path):
    step = (
        'kind = "handover"\nevent = "nr"\n'
        '[steps.phases.gap]\nduration = "120ms"\n'
        '[steps.phases.trigger]\nduration = "100ms"\ndelay_factor = 4\nrate_factor = 0.1\n'
        '[steps.phases.decay]\ndelay_shift = {low = "-2ms", high = "-1ms"}\n'
    )
    found, schedule = middle(step, tmp_path)
    window = schedule.windows[1]
    start, end = window.phase("gap")
    assert end - start == 120_000_000
    assert found["to-doctor"][9][1] == LINKED.with_(delay=Delay(0.08), rate_bps=10e6)
    assert [name for name, _ in schedule.draws] == [
        "handover-2/decay", "handover-2/decay/delay_shift_s",
    ]  # fmt: skip
    assert 0.018 <= schedule.of("primary", "to-doctor")[-1][1].delay.mean_s <= 0.019


def test_trace_keeps_where_it_came_from(tmp_path):
    (tmp_path / "cell.csv").write_text("# source: drive\ntime_s,rate_mbit\n0,5\n1,6\n")
    step = 'kind = "trace"\nfile = "cell.csv"\nformat = "csv"\nduration = "3s"\nwrap = true\n'
    found, _ = middle(step, tmp_path)
    assert [(t // S, i.rate_bps) for t, i in found["to-patient"]] == [(0, 5e6), (1, 6e6), (2, 5e6)]
    scenario = load(HEAD + LINK + SETTLE + "[[steps]]\n" + step + REST, tmp_path)
    assert "cell.csv" in scenario.source
    assert "drive" in scenario.source
    assert "resolution 1 s" in scenario.source


def test_mahimahi_window_is_named(tmp_path):
    (tmp_path / "cell").write_text("10\n20\n")
    step = 'kind = "trace"\nfile = "cell"\nformat = "mahimahi"\nwindow = "10ms"\n'
    found, _ = middle(step, tmp_path)
    assert [(t, i.rate_bps) for t, i in found["to-patient"]] == [(0, pytest.approx(1504 * 800))]


LAWS = {
    'duration = {low = "100ms", high = "200ms"}': (0.1, 0.2),
    'duration = {law = "uniform", low = "100ms", high = "200ms"}': (0.1, 0.2),
    'duration = {law = "normal", mean = "1s", sigma = "1s", low = "0.5s", high = "2s"}': (0.5, 2),
    'duration = {law = "lognormal", median = "1s", sigma = 0.8, low = "0.5s", high = "9s"}': (
        0.5, 9,
    ),
    'duration = {law = "exponential", mean = "1s", low = "0.5s", high = "9s"}': (0.5, 9),
    'duration = {law = "choice", values = ["1s", "3s"], weights = [1, 3]}': (1, 3),
}  # fmt: skip


@pytest.mark.parametrize("text", LAWS)
def test_durations_are_drawn(text, tmp_path):
    low_s, high_s = LAWS[text]
    scenario = load(HEAD + LINK + f'[[steps]]\nkind = "outage"\n{text}\n' + REST, tmp_path)
    lengths = []
    for seed in range(30):
        schedule = compile_scenario(scenario, seed)
        (name, drawn_s), window = schedule.draws[0], schedule.windows[0]
        assert name == "outage-1/outage"
        assert window.end_ns - window.start_ns == round(drawn_s * S)
        lengths.append(drawn_s)
    assert low_s <= min(lengths) < max(lengths) <= high_s


# Mistakes

STEP = "[[steps]]\n"
BROKEN = {
    "no steps": ("", "steps", "is missing"),
    "unknown section": (SETTLE + '[extra]\nx = "1"\n', "extra", "unknown key"),
    "no kind": (STEP + 'duration = "1s"\n', "steps[1].kind", "is missing"),
    "unknown kind": (STEP + 'kind = "storm"\n', "steps[1].kind", "handover"),
    "no duration": (STEP + 'kind = "hold"\n', "steps[1].duration", "is missing"),
    "no time": (STEP + 'kind = "hold"\nduration = "0s"\n', "steps[1].duration", "lasts no time"),
    "bare duration": (STEP + 'kind = "hold"\nduration = 1\n', "steps[1].duration", "no unit"),
    "key of another kind": (
        STEP + 'kind = "hold"\nduration = "1s"\nevent = "nr"\n', "steps[1].event", "unknown key",
    ),
    "name twice": (SETTLE + SETTLE, "steps[settle].name", "comes twice"),
    "unknown role": (SETTLE + 'role = "above"\n', "steps[settle].role", "within, at, beyond"),
    "unknown link": (SETTLE + 'link = "backup"\n', "steps[settle].link", "use primary"),
    "unknown direction": (
        SETTLE + 'direction = "up"\n', "steps[settle].direction", "both, to-patient, to-doctor",
    ),
    "state and change": (SETTLE + 'state = "null"\nchange = {}\n', "steps[settle].change", "one"),
    "unknown profile": (SETTLE + 'state = "6g"\n', "steps[settle].state (profile)", "unknown link"),
    "unknown change": (
        SETTLE + 'change = {dely = "1ms"}\n', "steps[settle].change.dely", "did you mean delay",
    ),
    "jitter alone": (
        SETTLE + 'change = {jitter = "1ms", law = "uniform"}\n',
        "steps[settle].change.delay.spread_s", "larger than the delay",
    ),
    "correlated": (
        SETTLE + 'change = {loss = "1% 25%"}\n', "steps[settle].change.loss", "gilbert-elliott",
    ),
    "ramp to nowhere": (
        STEP + 'kind = "ramp"\nduration = "1s"\n', "steps[1].change", "where the ramp leads",
    ),
    "fine ramp": (
        STEP + 'kind = "ramp"\nduration = "1s"\nincrement = "1us"\nchange = {delay = "1ms"}\n',
        "steps[1].increment", "1ms or more",
    ),
    "unknown mode": (
        STEP + 'kind = "outage"\nduration = "1s"\nmode = "burst"\n', "steps[1].mode", "hold, drop",
    ),
    "flap never": (
        STEP + 'kind = "flap"\ncount = 0\ndown = "1s"\nup = "1s"\n', "steps[1].count", "like 5",
    ),
    "unknown event": (STEP + 'kind = "handover"\nevent = "6g"\n', "steps[1].event", "dual-sim"),
    "unknown phase": (
        STEP + 'kind = "handover"\nevent = "nr"\n[steps.phases.hole]\nduration = "1s"\n',
        "steps[1].phases.hole", "decay, gap, trigger",
    ),
    "factor of zero": (
        STEP + 'kind = "handover"\nevent = "nr"\n[steps.phases.trigger]\nrate_factor = 0\n',
        "steps[1].phases.trigger.rate_factor", "above zero",
    ),
    "range backwards": (
        STEP + 'kind = "handover"\nevent = "nr"\n'
        "[steps.phases.trigger]\nrate_factor = {low = 2, high = 1}\n",
        "steps[1].phases.trigger.rate_factor (low, high)", "least value first",
    ),
    "unknown law": (
        STEP + 'kind = "hold"\nduration = {law = "cauchy"}\n', "steps[1].duration.law", "lognormal",
    ),
    "law without mean": (
        STEP + 'kind = "hold"\nduration = {law = "normal", low = "1s", high = "2s"}\n',
        "steps[1].duration.mean", "is missing",
    ),
    "law outside its bounds": (
        STEP + 'kind = "hold"\nduration = '
        '{law = "normal", low = "1s", high = "2s", mean = "9s", sigma = "10ms"}\n',
        "steps[1].duration (duration.low, duration.high)", "outside of its bounds",
    ),
    "bounds backwards": (
        STEP + 'kind = "hold"\nduration = {low = "2s", high = "1s"}\n',
        "steps[1].duration (duration.low, duration.high)", "lower one first",
    ),
    "drawn to nothing": (
        STEP + 'kind = "hold"\nduration = {low = "0s", high = "1s"}\n',
        "steps[1].duration.low", "above zero",
    ),
    "no trace": (
        STEP + 'kind = "trace"\nfile = "none.csv"\nformat = "csv"\n', "steps[1].file", "no such",
    ),
    "unknown format": (
        STEP + 'kind = "trace"\nfile = "x"\nformat = "pcap"\n', "steps[1].format", "mahimahi, csv",
    ),
    "unknown interpolation": (
        STEP + 'kind = "trace"\nfile = "x"\nformat = "csv"\ninterpolation = "cubic"\n',
        "steps[1].interpolation", "hold, linear",
    ),
    "window of a table": (
        STEP + 'kind = "trace"\nfile = "x"\nformat = "csv"\nwindow = "1s"\n',
        "steps[1].window", "Mahimahi",
    ),
    "action nowhere": (
        SETTLE + '[[actions]]\nstep = "end"\nafter = "0s"\nname = "rearm"\n',
        "actions[rearm].step", "use one of settle",
    ),
    "unknown action": (
        SETTLE + '[[actions]]\nstep = "settle"\nafter = "0s"\nname = "dance"\n',
        "actions[dance].name", "local-stop",
    ),
    "action too late": (
        SETTLE + '[[actions]]\nstep = "settle"\nafter = "1s"\nname = "rearm"\n',
        "actions", "after the end",
    ),
    "ends in a hold": (
        STEP + 'kind = "outage"\nduration = "1s"\nmode = "hold"\n', "steps", "would be lost",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", BROKEN)
def test_mistake_is_named_with_its_remedy(case, tmp_path):
    text, field, words = BROKEN[case]
    with pytest.raises(InputError) as caught:
        load(HEAD + LINK + text, tmp_path)
    message = str(caught.value)
    assert message.startswith(str(tmp_path / "scenario.toml"))
    assert caught.value.field == field
    assert words in message


def test_links_are_read_strictly(tmp_path):
    for link, field, words in (
        ('[links.primary]\nprofile = "x"\nlaw = "y"\n', "links.primary.law", "unknown key"),
        ('[links.primary.to-doctor]\ndelay = "1ms"\n', "links.primary.both", "give both"),
        ('[links.primary.both]\ndelay = "x"\n', "links.primary.both.delay", "not a number"),
    ):
        with pytest.raises(InputError, match=words) as caught:
            load(HEAD + link + SETTLE, tmp_path)
        assert caught.value.field == field


def test_an_event_that_its_link_cannot_have_is_refused_before_anything_runs(tmp_path):
    step = '[[steps]]\nkind = "handover"\nevent = "nr"\n'
    with pytest.raises(InputError, match="no delay that an event could multiply") as caught:
        load(HEAD + SETTLE + step, tmp_path)
    assert caught.value.file == str(tmp_path / "scenario.toml")


# Every file

durations = st.sampled_from(['"50ms"', '"1.5s"', '{low = "10ms", high = "2s"}'])
steps = st.one_of(
    st.builds('kind = "hold"\nduration = {}\n'.format, durations),
    st.builds('kind = "hold"\nduration = {}\nchange = {{loss = "5%"}}\n'.format, durations),
    st.builds('kind = "ramp"\nduration = {}\nchange = {{delay = "30ms"}}\n'.format, durations),
    st.builds('kind = "null"\nduration = {}\n'.format, durations),
    st.builds(
        'kind = "outage"\nduration = {}\nmode = "{}"\ndirection = "{}"\n'.format,
        durations, st.sampled_from(["hold", "drop"]), st.sampled_from(["both", *DIRECTIONS]),
    ),
    st.builds(
        'kind = "flap"\ncount = {}\ndown = {}\nup = "30ms"\n'.format, st.integers(1, 4), durations
    ),
    st.builds('kind = "handover"\nevent = "{}"\n'.format, st.sampled_from(sorted(EVENTS))),
    st.builds(
        'kind = "trace"\nformat = "csv"\nfile = "cell.csv"\nwrap = true\nduration = "{}ms"\n'
        "".format,
        st.integers(1, 9000),
    ),
)  # fmt: skip


def test_a_step_does_not_begin_in_the_disturbance_before(tmp_path):
    """An interruption right after another one, and a ramp right after a clean stretch."""
    outage = '[[steps]]\nkind = "outage"\nduration = "50ms"\nmode = "hold"\n'
    failover = '[[steps]]\nkind = "handover"\nevent = "dual-sim"\n'
    schedule = schedule_of(SETTLE + outage + failover + REST, tmp_path)
    states = [i for _, i in schedule.of("primary", "to-doctor")]
    assert states[:3] == [LINKED, LINKED.with_(hold=True), LINKED.with_(up=False)]
    null = '[[steps]]\nkind = "null"\nduration = "50ms"\n'
    ramp = '[[steps]]\nkind = "ramp"\nduration = "1s"\nincrement = "0.5s"\n'
    schedule = schedule_of(SETTLE + null + ramp + 'change = {delay = "30ms"}\n', tmp_path)
    means = [i.delay.mean_s for _, i in schedule.of("primary", "to-doctor")]
    assert means == pytest.approx([0.020, 0.0, 0.025, 0.030])


def test_an_interruption_of_a_link_that_is_down(tmp_path):
    down = '[[steps]]\nkind = "hold"\nduration = "1s"\nchange = {up = false}\n'
    hold = '[[steps]]\nkind = "outage"\nduration = "50ms"\nmode = "hold"\n'
    schedule = schedule_of(SETTLE + down + hold + REST, tmp_path)
    states = [i for _, i in schedule.of("primary", "to-doctor")]
    broken = LINKED.with_(up=False)
    assert states == [LINKED, broken, LINKED.with_(hold=True), broken]


@settings(max_examples=150, deadline=None)
@given(st.lists(steps, min_size=1, max_size=8), st.integers(0, 2**32))
def test_every_schedule_is_absolute_contiguous_and_repeatable(tmp_path_factory, chosen, seed):
    folder = tmp_path_factory.mktemp("s")
    (folder / "cell.csv").write_text("time_s,delay_ms,loss_%\n0,20,0\n1,30,1\n1.5,0,0\n")
    text = HEAD + LINK + "".join(f"[[steps]]\n{step}" for step in chosen) + REST
    scenario = load(text, folder)
    schedule = compile_scenario(scenario, seed)
    assert schedule == compile_scenario(scenario, seed)
    times = [change.t_ns for change in schedule.changes]
    assert times == sorted(times)
    assert times[0] >= 0
    assert times[-1] < schedule.end_ns
    edges: list[tuple[int, int]] = [
        (start, end) for window in schedule.windows for _, start, end in window.phases
    ]
    assert edges[0][0] == 0
    assert edges[-1][1] == schedule.end_ns
    assert all(a[1] == b[0] for a, b in pairwise(edges))
    assert all(start < end for start, end in edges)
    names = [name for name, _ in schedule.draws]
    assert len(names) == len(set(names))
    drawn = dict(schedule.draws)
    for window in schedule.windows:
        assert isinstance(window, Window)
        for phase, start, end in window.phases:
            if f"{window.name}/{phase}" in drawn:
                assert end - start == round(drawn[f"{window.name}/{phase}"] * S)
    for direction in DIRECTIONS:
        last = schedule.of("primary", direction)[-1][1]
        assert last.up  # nothing is left broken
        assert not last.hold
        assert last.rate_bps is not None
