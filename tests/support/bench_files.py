"""Bench files of laboratories: the shipped one, changed; and one whose instruments are served."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.benches.lab.file import SHIPPED, load_bench_file
from instruments.simulators.lab import Lab, RunningLab

CALIBRATION = "simulated-lab.calibration.toml"


def written(
    folder: Path, *changes: tuple[str, str], calibration: tuple[str, str] = ("", "")
) -> Path:
    """A copy of the shipped bench file and its calibration, each with texts replaced once."""
    text = SHIPPED.read_text(encoding="utf-8")
    for old, new in changes:
        assert old in text, old
        text = text.replace(old, new, 1)
    records = SHIPPED.with_name(CALIBRATION).read_text(encoding="utf-8")
    assert calibration[0] in records
    (folder / CALIBRATION).write_text(records.replace(*calibration, 1), encoding="utf-8")
    path = folder / "lab.toml"
    path.write_text(text, encoding="utf-8")
    return path


@contextmanager
def served(folder: Path, *changes: tuple[str, str]) -> Iterator[tuple[Path, Lab]]:
    """A bench file whose instruments have addresses, as hardware has; and what serves them."""
    file = load_bench_file(SHIPPED)
    with RunningLab(Lab(file.described, file.world)) as running:
        text = SHIPPED.read_text(encoding="utf-8")
        for role, address in running.resources.items():
            head, table, rest = text.partition(f"[instruments.{role}]")
            rest = rest.replace('address = "simulated"', f'address = "{address}"', 1)
            text = head + table + rest
        for old, new in changes:
            assert old in text, old
            text = text.replace(old, new, 1)
        (folder / CALIBRATION).write_text(SHIPPED.with_name(CALIBRATION).read_text())
        path = folder / "lab.toml"
        path.write_text(text, encoding="utf-8")
        yield path, running.lab
