"""requirements.lock installs anywhere: pinned, hashed, whole, and naming no place."""

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

TOP = Path(__file__).parents[2]
HASH = re.compile(r"--hash=sha256:[0-9a-f]{64}")
PLACES = re.compile(
    r"//|^\s*-(?!-hash=)| @ |\.whl\b|\.tar\.gz\b|(?:^|[\s=#])[~.]?/(?!run lock$)", re.M
)


def blocks(text: str) -> list[str]:
    """Return one string for each requirement, its hashes included."""
    code = "\n".join(line for line in text.splitlines() if not line.lstrip().startswith("#"))
    return [block for block in re.split(r"(?<!\\)\n", code) if block.strip()]


def pins(text: str) -> dict[str, Requirement]:
    """Return the requirement that each name is locked by."""
    heads = [Requirement(re.split(r"\s*\\\n", block)[0]) for block in blocks(text)]
    return {canonicalize_name(head.name): head for head in heads}


@pytest.fixture(scope="module")
def lock() -> str:
    return (TOP / "requirements.lock").read_text()


@pytest.fixture(scope="module")
def project() -> dict:
    return tomllib.loads((TOP / "pyproject.toml").read_text())


def test_every_requirement_is_pinned_and_hashed(lock):
    assert len(blocks(lock)) > 20
    for block in blocks(lock):
        assert re.match(r"[a-z0-9._-]+==[^\s;\\]+", block), block
        assert HASH.search(block), block


def test_lock_names_no_index_host_or_path(lock):
    assert PLACES.findall(lock) == []


@pytest.mark.parametrize(
    "line",
    [
        "--index-url https://example.org/simple",
        "--find-links wheels",
        "-e .",
        "numpy @ file:wheels",
        "numpy==2.0 # via -r /tmp/requirements.in",
        "./wheels/numpy-2.0-py3-none-any.whl",
        "# uv pip compile --output-file /tmp/x",
    ],
)
def test_a_place_in_the_lock_would_be_seen(lock, line):
    assert PLACES.search(f"{lock}{line}\n")


def test_every_dependency_is_locked_at_a_version_that_it_allows(lock, project):
    locked = pins(lock)
    declared = [
        *project["project"]["dependencies"],
        *project["project"]["optional-dependencies"]["dev"],
        *project["build-system"]["requires"],
    ]
    for text in declared:
        need = Requirement(text)
        pin = locked.get(canonicalize_name(need.name))
        assert pin is not None, f"{need.name} is not locked: ./run lock"
        (version,) = (item.version for item in pin.specifier)
        assert need.specifier.contains(version, prereleases=True), (
            f"{pin} against {need}: ./run lock"
        )


def test_the_plugin_has_one_name(project):
    """Pytest refuses a module that the entry point and conftest.py register differently."""
    assert project["project"]["entry-points"]["pytest11"] == {"fixtures.plugin": "fixtures.plugin"}
    assert 'pytest_plugins = ["fixtures.plugin"]' in (TOP / "conftest.py").read_text()
