"""Packages of other people that bear our names are refused, not used."""

import subprocess
import sys

import pytest

from bench.neighbours import OURS, check_neighbours


def test_our_own_packages_are_fine():
    check_neighbours()


@pytest.mark.parametrize("name", OURS)
def test_a_stranger_of_that_name_is_refused(tmp_path, name):
    (tmp_path / name).mkdir()
    (tmp_path / name / "__init__.py").write_text("")
    code = (
        f"import sys; sys.path.insert(0, {str(tmp_path)!r})\n"
        "from bench.neighbours import check_neighbours\n"
        "from bench.errors import InputError\n"
        "try:\n    check_neighbours()\n"
        "except InputError as error:\n    print(error.line())\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert name in done.stdout
    assert str(tmp_path) in done.stdout
