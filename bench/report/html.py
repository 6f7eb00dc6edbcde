"""The HTML report: one self-contained file that can be read, printed and kept."""

from __future__ import annotations

import os
import re
import tempfile
from collections import Counter
from collections.abc import Callable, Mapping
from importlib import resources
from pathlib import Path
from typing import Any

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from bench.report import head, sessions, view
from bench.report.coexistence import coexistence_part
from bench.report.data import WATERMARK, ReportData
from bench.report.trace import traced
from bench.report.words import plain

_SAFE_IN_CSS = re.compile(r"[^A-Za-z0-9._: -]")


def write_html(report: ReportData, path: Path) -> None:
    """Write the report as one file; it appears whole or not at all.

    Raises:
        OSError: the file cannot be written.

    """
    write_whole(path, render(report))


def render(report: ReportData) -> str:
    """The report as HTML text. Every value from outside is escaped."""
    files = resources.files("bench.report") / "templates"
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    template = environment.from_string((files / "report.html.j2").read_text(encoding="utf-8"))
    css = Markup((files / "report.css").read_text(encoding="utf-8"))
    return template.render(css=css, **_context(report))


def _context(report: ReportData) -> Mapping[str, Any]:
    watermark = WATERMARK if report.simulated else ""
    run_id = head.run_id(report.run)
    rows = [view.row(verdict, report.requirements) for verdict in report.verdicts]
    shown = sessions.plotted(report)
    return {
        "title": head.title(report),
        "subtitle": head.subtitle(report),
        "watermark": watermark,
        "incomplete": "" if report.complete else head.incompleteness(report),
        "run_id_css": _SAFE_IN_CSS.sub("", run_id),
        "run_path": f"results/{plain(run_id)}" if run_id else "RUN",
        "device_facts": head.device_facts(report),
        "bench_facts": head.bench_facts(report),
        "run_facts": head.run_facts(report),
        "other_facts": head.other_facts(report),
        "answer": report.answer(),
        "worst": worst(report),
        "counts": report.counts(),
        "attention": [row for row in rows if row.verdict != "PASS"],
        "groups": view.groups(rows),
        "anchor": _anchors(),
        "unanswered": [view.scope_row(i, report.requirements) for i in report.unanswered],
        "out_of_scope": [view.scope_row(i, report.requirements) for i in report.out_of_scope],
        "traced": traced(report),
        "unasked": report.unasked,
        "tails": [
            {"title": title, "svg": Markup(svg)}
            for title, svg in sessions.distributions(report, watermark)
        ],
        "sessions": [
            sessions.session(report, r, watermark, full=r.session_id in shown)
            for r in report.recordings
        ],
        "more_sessions": len(report.recordings) - len(shown),
        "budgets": view.budgets(report.verdicts),
        "limitations": head.limitations(report),
        **sessions.bench_part(report),
        **coexistence_part(report, watermark),
    }


def _anchors() -> Callable[[str], str]:
    """Names for links to a requirement: the first row of an id bears it, later ones a number."""
    used: Counter[str] = Counter()

    def anchor(identity: str) -> str:
        used[identity] += 1
        number = f"-{used[identity]}" if used[identity] > 1 else ""
        return f"requirement-{identity}{number}"

    return anchor


def worst(report: ReportData) -> str:
    """The word that colours the one-line answer; empty where nothing was judged."""
    counts = report.counts()
    for name in ("FAIL", "ERROR", "INCONCLUSIVE"):
        if counts[name]:
            return name
    if report.unanswered or not report.complete:
        return "INCONCLUSIVE"
    return "PASS" if counts["PASS"] else ""


def write_whole(path: Path, text: str) -> None:
    """Write text through a temporary file beside the target, then rename.

    Raises:
        OSError: the folder is missing, full or not writable; the target is then untouched.

    """
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8", errors="replace") as file:
            file.write(text)
        umask = os.umask(0)
        os.umask(umask)
        os.chmod(name, 0o666 & ~umask)
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
