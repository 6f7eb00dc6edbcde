"""The host: what it can do, and what that means for each bench."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from bench.commands.shared import Json, command


@command
def check(
    clean: Annotated[
        bool, typer.Option("--clean", help="Remove and restore what dead runs left, and only that.")
    ] = False,
    as_json: Json = False,
) -> int:
    """What this host can do, what that means for each bench, and the remedy."""
    from bench.benches.check import best_bench, check_host, clean_leftovers
    from instruments.emulators.custody import leftovers

    removed = clean_leftovers() if clean else []
    restored = list(leftovers()) if clean else []
    findings = check_host()
    name, reason = best_bench()
    if as_json:
        print(
            json.dumps(
                {
                    "findings": [finding.to_json() for finding in findings],
                    "best_bench": name,
                    "reason": reason,
                    "removed": removed,
                    "restored": restored,
                }
            )
        )
    else:
        from bench.report.terminal import findings_table

        findings_table(findings)
        for path in removed:
            print(f"removed {path}")
        for line in restored:
            print(f"restored {line}")
        print(f"best bench here: {name} ({reason})")
    return 0
