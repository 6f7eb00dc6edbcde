"""The report's part on coexistence: what was found, and what was not."""

import dataclasses
import math

import pytest

from bench.measure.disturbing import Carried, Disturbed
from bench.measure.failing import Boundary, Trial
from bench.measure.failure_region import Column, Met, Other, Point, Region, likelihood_of
from bench.measure.likelihood import Surroundings
from bench.network.library.coexistence import EXAMPLE
from bench.network.radio.exposure import Exposure, reception_of
from bench.report.coexistence import coexistence_part, plot
from bench.report.html import render
from bench.sessions.codec import to_json

LEVELS = tuple(-80.0 + 2 * n for n in range(10))


def column(signal="lte20", kept=4, problem="", outcomes=((4, False), (5, True), (9, True))):
    trials = tuple(Trial(place, failed) for place, failed in outcomes)
    points = tuple(
        Point(
            Exposure(signal, 3.5e9, LEVELS[place], 18e6), LEVELS[place] + 70, failed,
            "lost <video>" if failed else "", 1.25, "analyser", 1e8, "id", 0,
            1.5 if failed else None,
        )
        for place, failed in outcomes
    )  # fmt: skip
    boundary = Boundary(10, kept, kept + 1, 0.95, True, trials, problem)
    return Column(signal, 0.0, 1.0, LEVELS, boundary, points)


def region(*columns):
    met = (Met("lte20", 0.0, 1.0, Surroundings(0.5, -75, 4)),)
    total, each, problem = likelihood_of(columns, met)
    words = {"plan": "a <plan>", "method": "conducted"}
    return Region(words, EXAMPLE, columns, 20, total, each, problem)


def shown(report, found):
    return dataclasses.replace(report, run={**report.run, "coexistence": to_json(found)})


def test_a_run_without_an_exploration_has_no_such_part(report):
    assert coexistence_part(report, "") == {"coexistence": None}


def test_what_was_found_stands_in_the_report(report):
    light = dataclasses.replace(shown(report, region(column())), recordings=(), stimuli={})
    html = render(light)
    part = html[html.index('<h2 id="coexistence">') : html.index('<h2 id="sessions">')]
    for text in ("-2 to +0 dB", "1.2 dB", "95 %", "3 of 10", "1.5 s", "analyser", "85 % saved"):
        assert text in part, text
    assert "a &lt;plan&gt;" in part
    assert part.count("<svg") == 1
    assert "Likelihood of coexistence" in part
    assert 'href="#coexistence"' in html


def test_points_at_which_nothing_was_regained_are_counted(report):
    made = column()
    last = dataclasses.replace(made.points[-1], recovery_s=None)
    points = (*made.points[:-1], last)
    part = coexistence_part(shown(report, region(dataclasses.replace(made, points=points))), "")
    told = part["coexistence"]["columns"][0]["recovery"]
    assert told == "1.5 s; not regained or not shown at 1 of 2 points"


@pytest.mark.parametrize(
    ("made", "told"),
    [
        (column(problem="nothing was shown at level 4"), "not known: nothing was shown at level 4"),
        (column(kept=9, outcomes=((9, False),)), "at none; kept up to +8 dB"),
        (column(kept=-1, outcomes=((0, True),)), "at the lowest level, -10 dB"),
    ],
)
def test_what_was_not_found_is_said(report, made, told):
    found = coexistence_part(shown(report, region(made)), "")["coexistence"]
    assert found["columns"][0]["fails"] == told
    if made.boundary.problem:
        assert found["likelihood"]["problem"]
        assert not found["likelihood"]["all"]


def test_the_plot_draws_every_point_also_one_that_shows_nothing():
    two = region(column(), column("noise40", outcomes=((2, None), (5, True))))
    svg = plot(two, [(0.0, -8.0)], "mark")
    assert svg.startswith("<svg")
    assert "lte20 in the channel" in svg
    assert "mark" in svg
    assert math.isinf(column(kept=9).failing().fails_dbm)


def others(report, measured):
    alone = reception_of(EXAMPLE, ())
    found = dataclasses.replace(
        region(column()), others=(Other("a <visitor>", "lte-20mhz", alone, alone, measured),)
    )
    light = dataclasses.replace(shown(report, found), recordings=(), stimuli={})
    html = render(light)
    return html[html.index("<h3>The other networks") : html.index('<h2 id="sessions">')]


def test_what_was_measured_of_another_network_stands_beside_what_was_reckoned(report):
    alone, beside = Carried((30e6, 30.2e6, 29.8e6), 3000, 0, 0), Carried((2e7,) * 3, 2400, 500, 100)
    part = others(report, Disturbed("a <visitor>", "a tester", alone, beside))
    assert "a &lt;visitor&gt;, lte-20mhz" in part
    assert "Mbit/s" in part[part.index("reckoned") : part.index("measured by a tester")]
    for text in ("30 ± 0.5 Mbit/s; blocks lost 0 (0 to 0.0012) of 3000", "20 ± 5.8e-05 Mbit/s",
                 "blocks lost 0.2 (0.19 to 0.21) of 3000", "disturbed: throughput -33 ± 1.7 %",
                 "this is no verdict"):  # fmt: skip
        assert text in part, text


@pytest.mark.parametrize(
    ("measured", "told"),
    [
        (None, "not measured: this bench has no laboratory"),
        (Disturbed("x", problem="the tester is mute"), "not measured: the tester is mute"),
        (Disturbed("x", "t", Carried((0.0,) * 3, 0, 5, 5), Carried((0.0,) * 3, 0, 5, 5)),
         "INCONCLUSIVE: its own link is not in order: 100 %"),
    ],
)  # fmt: skip
def test_what_was_not_measured_of_another_network_is_said(report, measured, told):
    assert told in others(report, measured)
