"""One seed, one recording: twice, from elsewhere, and shared out to workers."""

from __future__ import annotations

PARTS = ("session.json", "packets.parquet", "events.jsonl", "stimulus.json", "transcript.jsonl")


def contents(run) -> dict[str, bytes]:
    """Everything recorded, byte by byte."""
    return {
        f"{folder.name}/{part}": (folder / part).read_bytes()
        for folder in (run / "sessions").iterdir()
        for part in PARTS
    }


def test_the_same_seed_gives_the_same_bytes(bench, tmp_path):
    words = ("--only=LOC-1", "--only=SW-1")
    first = bench.run(*words, "--seed=11")
    elsewhere = bench.run(*words, "--seed=11", cwd=tmp_path, env={"TZ": "Asia/Shanghai"})
    assert first.code == elsewhere.code == 0, first.err
    assert first.identity["content_hash"] == elsewhere.identity["content_hash"]
    assert len(first.identity["content_hash"]) == 64
    assert contents(first.run) == contents(elsewhere.run)
    assert len(contents(first.run)) == 6 * len(PARTS)
    verdicts = [(v["value"], v["margin"], v["n"]) for v in first.verdicts]
    assert verdicts == [(v["value"], v["margin"], v["n"]) for v in elsewhere.verdicts]


def test_another_seed_gives_another_recording(bench, kit, small_run):
    other = bench.run("--only=LOC-1", "--seed=12")
    assert other.code == 0, other.err
    assert other.identity["content_hash"] != small_run.identity["content_hash"]

    def packets(run):
        return next(run.glob("sessions/local-stop-*/packets.parquet")).read_bytes()

    assert packets(other.run) != packets(small_run.run)


def test_the_content_hash_is_of_the_content(bench, kit, small_run):
    hashes = {
        folder.name: kit.read(folder / "session.json")["content_hash"]
        for folder in (small_run.run / "sessions").iterdir()
    }
    assert len(hashes) == 2
    assert all(len(value) == 64 for value in hashes.values())
    assert len({*hashes.values(), small_run.identity["content_hash"]}) == 3
