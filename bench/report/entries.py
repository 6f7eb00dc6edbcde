"""A run as test results: the entries that JUnit and Allure share."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from bench.judge.outcomes import MAPPING
from bench.judge.verdict import Outcome
from bench.report.data import ReportData, outcome_of, scenario_of, title_of
from bench.report.words import plain

NO_VERDICT = "in scope, but the run has no verdict on it"


@dataclass(frozen=True, slots=True)
class Entry:
    """One test result.

    ``outcome`` is ``None`` for what was out of scope. ``verdict``: the entry of verdicts.json,
    empty where there is none.
    """

    file: str
    requirement: str
    title: str
    stream: str
    name: str
    outcome: Outcome | None
    reason: str
    verdict: Mapping[str, Any]

    @property
    def junit(self) -> str:
        """``failure`` or ``error``, empty for a pass. Only a PASS can be empty."""
        if self.outcome is None:
            return "skipped"
        if self.outcome is Outcome.PASS:
            return ""
        word = MAPPING[self.outcome].junit
        return word if word in ("failure", "error") else "error"

    @property
    def allure(self) -> str:
        """Status of Allure 2. Only a PASS can be ``passed``."""
        if self.outcome is None:
            return "skipped"
        word = MAPPING[self.outcome].allure
        return "broken" if word == "passed" and self.outcome is not Outcome.PASS else word

    @property
    def key(self) -> str:
        """The same for the same requirement, stream and test in every run."""
        text = "/".join((self.file, self.name))
        return hashlib.sha256(text.encode()).hexdigest()[:32]


def entries(report: ReportData) -> list[Entry]:
    """Verdicts, what is in scope without one (never a pass), and what was out of scope.

    An incomplete run adds an entry of its own: a run that was killed before its first verdict
    must not look green.
    """
    result = [_entry(report, v, outcome_of(v), plain(v.get("reason"))) for v in report.verdicts]
    for item in report.unanswered:
        result.append(_entry(report, item, Outcome.INCONCLUSIVE, NO_VERDICT))
    for item in report.out_of_scope:
        parts = (plain(item.get("reason")) or "out of scope", plain(item.get("figure")))
        result.append(_entry(report, item, None, "; ".join(part for part in parts if part)))
    if not report.complete:
        completion = plain(report.run.get("completion")) or "not recorded"
        reason = f"the run did not come to its end (completion: {completion})"
        result.append(_entry(report, {"requirement": "run"}, Outcome.INCONCLUSIVE, reason))
    return _told_apart(result)


def milliseconds(text: Any) -> int | None:
    """An ISO 8601 time as ms since 1970, or ``None``."""
    try:
        return round(datetime.fromisoformat(str(text)).timestamp() * 1000)
    except ValueError:
        return None


def _entry(
    report: ReportData, source: Mapping[str, Any], outcome: Outcome | None, reason: str
) -> Entry:
    identity = plain(source.get("requirement"))
    stream = plain(source.get("stream"))
    return Entry(
        file=plain(source.get("test")).partition("::")[0] or plain(report.run.get("plan")) or "run",
        requirement=identity,
        title=plain(title_of(report.requirements.get(identity))),
        stream=stream,
        name=f"{identity} {stream}".strip(),
        outcome=outcome,
        reason=reason or "no reason was recorded",
        verdict=source if source.get("verdict") else {},
    )


def _told_apart(found: list[Entry]) -> list[Entry]:
    """Names made unique: by session where one requirement is judged in several, else by number."""
    seen = Counter((entry.file, entry.name) for entry in found)
    used: Counter[tuple[str, str]] = Counter()
    result = []
    for entry in found:
        name = entry.name
        if seen[entry.file, name] > 1:
            scenario = plain(scenario_of(entry.verdict))
            name = f"{name} in {scenario}" if scenario else name
        used[entry.file, name] += 1
        number = used[entry.file, name]
        name = f"{name} ({number})" if number > 1 else name
        result.append(replace(entry, name=name))
    return result
