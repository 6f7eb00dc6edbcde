"""./run: clear ends, one line each, and a second start that does nothing twice."""

import os
import shutil
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

TOP = Path(__file__).parents[2]
FILES = ("run", "requirements.lock", "pyproject.toml")
DEMO = (
    "bench run therapy alarms limits mobility reconnection"
    " testplans/failures/test_failures.py testplans/local_control/test_local_control.py"
    " testplans/standby/test_standby.py --device telesurgery-robot"
)
FORGET_IGNORED_SIGINT = (  # a runner in the background may hand SIGINT down ignored
    "import os, signal, sys; signal.signal(signal.SIGINT, signal.SIG_DFL);"
    "os.execvp(sys.argv[1], sys.argv[1:])"
)

pytestmark = pytest.mark.skipif(shutil.which("bash") is None, reason="./run needs bash")


def executable(path: Path, text: str) -> Path:
    """Write a shell script that stands in for a program."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


@pytest.fixture
def checkout(tmp_path) -> Path:
    """A copy of what ./run reads, in a folder whose name has a space."""
    folder = tmp_path / "a checkout"
    folder.mkdir()
    for name in FILES:
        shutil.copy2(TOP / name, folder / name)
    return folder


@pytest.fixture
def ready(checkout) -> Path:
    """The same with a finished .venv whose programs only say what they were given."""
    executable(checkout / ".venv/bin/python", 'echo "python $*"; exit 7')
    executable(checkout / ".venv/bin/bench", 'echo "bench $*"; exit 3')
    wanted = subprocess.run(
        ["bash", "-c", 'echo "$(cksum <requirements.lock) $PWD"; cksum <pyproject.toml'],
        cwd=checkout,
        capture_output=True,
        text=True,
        check=True,
    )
    (checkout / ".venv/.stamp").write_text(wanted.stdout)
    (checkout / ".venv/.packages-tried").write_text("")
    return checkout


def run(folder: Path, *arguments: str, cwd: Path | None = None, **environment: str):
    """Run ./run with nothing in the environment but PATH."""
    return subprocess.run(
        ["bash", str(folder / "run"), *arguments],
        cwd=cwd or folder,
        env={"PATH": os.environ["PATH"], **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def only_lines_about(result, *words: str) -> None:
    """Require exit 2 and one line on stderr that has all the words."""
    lines = result.stderr.splitlines()
    assert result.returncode == 2, result.stderr
    assert result.stdout == ""
    assert len(lines) == 1, result.stderr
    assert all(word in lines[0] for word in words), lines[0]


@pytest.mark.parametrize("name", ["run", ".ci/run"])
def test_scripts_are_executable(name):
    assert (TOP / name).stat().st_mode & stat.S_IXUSR


def test_unknown_command_is_one_line(checkout):
    only_lines_about(run(checkout, "frobnicate"), "frobnicate", "setup", "demo", "test")
    assert not (checkout / ".venv").exists()


def test_no_command_shows_the_usage_and_is_an_error(checkout):
    result = run(checkout)
    assert result.returncode == 2
    assert "usage: ./run" in result.stderr


def test_help_names_every_command(checkout):
    result = run(checkout, "help")
    assert result.returncode == 0
    for command in ("setup", "demo", "test", "lint", "proof", "lock", "help"):
        assert f"\n  {command} " in result.stdout


def test_unusable_python_is_one_line(checkout, tmp_path):
    old = executable(tmp_path / "oldpython", "exit 1")
    result = run(checkout, "test", PYTHON=str(old))
    only_lines_about(result, "oldpython", "3.11")
    assert not (checkout / ".venv").exists()


def test_python_without_venv_is_one_line(checkout, tmp_path):
    bare = executable(tmp_path / "barepython", 'case "$*" in *ensurepip*) exit 1 ;; esac')
    only_lines_about(run(checkout, "test", PYTHON=str(bare)), "barepython", "venv")


def test_failed_installation_is_one_line_and_is_not_taken_for_finished(checkout, tmp_path):
    """A Python that makes a .venv in which pip fails, as without a network."""
    executable(tmp_path / "failing", "echo ERROR: no network; exit 1")
    python = executable(
        tmp_path / "python",
        f"""case "$*" in
        --version) echo Python 3.11.0 ;;
        "-m venv .venv") mkdir -p .venv/bin; cp {tmp_path}/failing .venv/bin/python ;;
        esac""",
    )
    for _ in range(2):
        result = run(checkout, "test", PYTHON=str(python))
        assert result.returncode == 2
        making, failed = result.stderr.splitlines()
        assert "making .venv" in making
        assert "no network" in failed
        assert "./run setup" in failed
    assert (checkout / ".venv/.stamp").read_text() == "unfinished\n"


def test_a_venv_of_somebody_else_is_kept(checkout, tmp_path):
    (checkout / ".venv").mkdir()
    (checkout / ".venv/precious").touch()
    python = executable(tmp_path / "python", 'case "$*" in *"venv .venv") exit 1 ;; esac')
    result = run(checkout, "test", PYTHON=str(python))
    assert result.returncode == 2
    assert len(list(checkout.glob(".venv.*/precious"))) == 1


@pytest.mark.parametrize(
    ("command", "said", "code"),
    [
        ("demo", DEMO + " --seed 7", 3),
        ("test", "python -m pytest --seed 7", 7),
        ("proof", "python -m benchmarks.proof --seed 7", 7),
    ],
)
def test_arguments_and_exit_codes_pass_through_from_any_folder(
    ready, tmp_path, command, said, code
):
    (ready / ".venv/.packages-tried").write_text("")
    result = run(ready, command, "--seed", "7", cwd=tmp_path, PATH=quiet_path(tmp_path))
    assert (result.stdout.strip(), result.returncode) == (said, code), result.stderr
    assert result.stderr == ""


@pytest.mark.parametrize(
    ("shared", "alone", "parts", "code"),
    [(0, 0, 2, 0), (1, 0, 2, 1), (0, 1, 2, 1), (2, 0, 1, 2), (5, 0, 1, 5)],
)
def test_all_tests_are_two_parts_and_a_failure_of_either_counts(
    ready, tmp_path, shared, alone, parts, code
):
    executable(
        ready / ".venv/bin/python",
        f'echo "$*"; case "$*" in *" -m not real_time") exit {shared} ;; esac; exit {alone}',
    )
    result = run(ready, "test", PATH=quiet_path(tmp_path))
    lines = result.stdout.splitlines()
    assert (len(lines), result.returncode) == (parts, code), result.stderr
    assert "-m not real_time" in lines[0]
    cores = os.sysconf("SC_NPROCESSORS_ONLN")
    assert f"-n {min(cores + 1, 4)} " in lines[0]
    assert parts == 1 or lines[1] == "-m pytest -rs -m real_time"
    assert ("some tests failed" in result.stderr) == (shared == 1)


CLOSING = "== 3 passed in 0.01s =="


@pytest.mark.parametrize(
    ("lint", "tests", "code"), [(0, 0, 0), (1, 0, 1), (0, 1, 1), (0, 5, 5), (1, 5, 1)]
)
def test_ci_fails_with_linters_or_tests_and_ends_with_pytests_last_line(
    tmp_path, lint, tests, code
):
    (tmp_path / ".ci").mkdir()
    shutil.copy2(TOP / ".ci/run", tmp_path / ".ci/run")
    executable(
        tmp_path / "run",
        f"""case "$1" in
        lint) echo "a wrong type" >&2; exit {lint} ;;
        test) sleep 0.3; echo "$TELEMED_BENCH_REQUIRE, $*"; echo "{CLOSING}"; exit {tests} ;;
        esac""",
    )
    result = run(tmp_path / ".ci", "-x", cwd=tmp_path)
    lines = result.stdout.splitlines()
    assert (result.returncode, lines[-1]) == (code, CLOSING), result.stdout
    assert "netem-uml,local, test -x" in lines
    assert lines.count("a wrong type") == 1 + lint
    assert ("linters" in result.stdout) == bool(lint)
    assert result.stderr == ""


def test_ci_ends_where_nothing_can_be_set_up(tmp_path):
    (tmp_path / ".ci").mkdir()
    shutil.copy2(TOP / ".ci/run", tmp_path / ".ci/run")
    executable(tmp_path / "run", '[ "$1" = setup ] && exit 2; echo "$1"')
    result = run(tmp_path / ".ci", cwd=tmp_path)
    assert (result.returncode, result.stdout) == (2, "")


def test_every_place_that_needs_the_machine_for_itself_is_there(request):
    plugin = request.config.pluginmanager.get_plugin(str(TOP / "tests" / "conftest.py"))
    tests = TOP / "tests"
    assert all((tests / name).exists() for name in plugin.REAL_TIME)
    assert all((tests / name).is_file() for name in plugin.SHARING)
    assert plugin.needs_the_machine(tests / "cli" / "test_local.py")
    assert plugin.needs_the_machine(tests / "benches" / "local" / "test_session.py")
    assert not any(plugin.needs_the_machine(tests / name) for name in plugin.SHARING)
    assert not plugin.needs_the_machine(Path(__file__))


def test_no_file_that_has_some_is_passed_over(request):
    plugin = request.config.pluginmanager.get_plugin(str(TOP / "tests" / "conftest.py"))
    asked = SimpleNamespace(getoption=lambda name: "real_time")
    files = set((TOP / "tests").rglob("test_*.py"))
    read = {file for file in files if not plugin.pytest_ignore_collect(file, asked)}
    single = {file for file in files if "mark.real_time" in file.read_text(encoding="utf-8")}
    assert {TOP / "tests" / "studies" / "test_certify.py"} <= single <= read
    assert {file for file in files if plugin.needs_the_machine(file)} <= read
    assert len(read) < len(files) / 4
    shared = SimpleNamespace(getoption=lambda name: "not real_time")
    left_out = {file for file in files if plugin.pytest_ignore_collect(file, shared)}
    assert left_out == {file for file in files if plugin.needs_the_machine(file)}
    everything = SimpleNamespace(getoption=lambda name: "")
    assert not any(plugin.pytest_ignore_collect(file, everything) for file in files)


def quiet_path(tmp_path: Path) -> str:
    """A PATH on which no system package is missing."""
    for name in ("ip", "linux.uml", "depmod"):
        executable(tmp_path / "bin" / name, "exit 0")
    return f"{tmp_path / 'bin'}:{os.environ['PATH']}"


@pytest.mark.parametrize("name", ["requirements.lock", "pyproject.toml"])
def test_a_changed_lock_or_project_is_installed_again(ready, tmp_path, name):
    with (ready / name).open("a") as file:
        file.write("# changed\n")
    bare = executable(tmp_path / "nopython", "exit 1")
    result = run(ready, "test", PYTHON=str(bare), PATH=quiet_path(tmp_path))
    assert result.returncode == 2
    assert "pytest" not in result.stdout


def test_a_moved_checkout_is_installed_again(ready, tmp_path):
    moved = ready.rename(tmp_path / "moved")
    bare = executable(tmp_path / "nopython", "exit 1")
    only_lines_about(run(moved, "test", PYTHON=str(bare), PATH=quiet_path(tmp_path)), "nopython")


def test_closed_stdin_is_no_trouble(ready, tmp_path):
    """A program with no standard input takes the first file that it opens for it."""
    executable(ready / ".venv/bin/python", "{ : 3<&0; } 2>/dev/null && echo open")
    result = subprocess.run(
        ["bash", "-c", '"$0" proof <&-', str(ready / "run")],
        env={"PATH": quiet_path(tmp_path)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (result.stdout.strip(), result.returncode) == ("open", 0), result.stderr


@pytest.fixture
def bare_host(ready, tmp_path) -> str:
    """A PATH with the shell's own tools only, on a host that lacks every system package."""
    tools = tmp_path / "tools"
    tools.mkdir()
    for name in ("bash", "sh", "dirname", "uname", "cat", "cksum", "env"):
        (tools / name).symlink_to(shutil.which(name))
    executable(tools / "id", "echo 1000")
    script = (ready / "run").read_text()
    assert "\nPATH=$PATH:" in script
    (ready / "run").write_text(script.replace("\nPATH=$PATH:", "\n: PATH=$PATH:"))
    (ready / ".venv/.packages-tried").unlink()
    return str(tools)


@pytest.mark.parametrize("apt", [True, False])
def test_missing_packages_are_said_once_and_do_not_stop(ready, bare_host, apt):
    if apt:
        executable(Path(bare_host) / "apt-get", "exit 100")
    first, second = (run(ready, "test", PATH=bare_host) for _ in range(2))
    assert first.returncode == second.returncode == 7, first.stderr
    assert first.stderr.count("\n") == 1
    assert "iproute2 user-mode-linux kmod" in first.stderr
    assert ("sudo apt-get install iproute2" in first.stderr) == apt
    assert second.stderr == ""


def test_root_gets_the_packages_that_this_release_has(ready, bare_host, tmp_path):
    """As root, one unknown package does not keep the others out."""
    executable(Path(bare_host) / "id", "echo 0")
    asked = tmp_path / "asked"
    executable(
        Path(bare_host) / "apt-get",
        f'echo "$DEBIAN_FRONTEND $*" >>{asked}; case "$*" in *user-mode*) exit 100 ;; esac',
    )
    result = run(ready, "test", PATH=bare_host)
    assert result.returncode == 7, result.stderr
    installed = [line for line in asked.read_text().splitlines() if " install " in line]
    assert [line.split("--no-install-recommends ")[1] for line in installed] == [
        "iproute2 user-mode-linux kmod",
        "iproute2",
        "user-mode-linux",
        "kmod",
    ]
    assert all(line.startswith("noninteractive ") for line in installed)
    assert "going on without: user-mode-linux" in result.stderr


def test_the_demo_does_not_wait_for_packages_of_the_tests(ready, bare_host, tmp_path):
    executable(Path(bare_host) / "id", "echo 0")
    asked = tmp_path / "asked"
    executable(Path(bare_host) / "apt-get", f'echo "$*" >>{asked}')
    result = run(ready, "demo", PATH=bare_host)
    assert result.returncode == 3, result.stderr
    assert "iproute2" in asked.read_text()
    assert "user-mode-linux" not in asked.read_text()


def test_interrupted_setup_ends_at_once_and_is_made_again(checkout, tmp_path):
    python = executable(
        tmp_path / "python", 'case "$*" in *"venv .venv") echo started; exec sleep 50 ;; esac'
    )
    process = subprocess.Popen(
        [sys.executable, "-c", FORGET_IGNORED_SIGINT, "bash", str(checkout / "run"), "setup"],
        env={"PATH": os.environ["PATH"], "PYTHON": str(python)},
        start_new_session=True,
        stderr=subprocess.PIPE,
    )
    log = checkout / ".venv/setup.log"
    try:
        deadline = time.monotonic() + 20
        while not (log.exists() and "started" in log.read_text()):
            assert time.monotonic() < deadline, "setup never started"
            time.sleep(0.02)
        os.killpg(process.pid, signal.SIGINT)
        _, said = process.communicate(timeout=5)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
    assert process.returncode == 130
    assert "interrupted" in said.decode().splitlines()[-1]
    again = executable(tmp_path / "python", 'case "$*" in *"venv .venv") exit 1 ;; esac')
    result = run(checkout, "setup", PYTHON=str(again))
    assert "making .venv" in result.stderr
    assert list(checkout.glob(".venv.[0-9]*")) == [], "a half-made .venv is no one's to keep"


def test_the_program_takes_the_place_of_the_script(ready, tmp_path):
    """Signals that are sent to ./run reach the program: it has the same process id."""
    executable(ready / ".venv/bin/bench", "echo $$")
    process = subprocess.Popen(
        ["bash", str(ready / "run"), "demo"],
        env={"PATH": quiet_path(tmp_path)},
        stdout=subprocess.PIPE,
        text=True,
    )
    said, _ = process.communicate(timeout=60)
    assert int(said) == process.pid


def test_root_gets_the_venv_module_that_debian_splits_off(ready, bare_host, tmp_path):
    tools, flag = Path(bare_host), tmp_path / "ensurepip"
    for name in ("mktemp", "head", "tail", "rm", "mkdir", "mv"):
        (tools / name).symlink_to(shutil.which(name))
    executable(
        tools / "python3.12",
        f'case "$*" in *ensurepip*) test -e {flag} ;; *"venv .venv") exit 1 ;; esac',
    )
    (ready / ".venv/.stamp").write_text("unfinished\n")
    only_lines_about(run(ready, "demo", PATH=bare_host), "python3.12", "python3-venv")
    executable(tools / "id", "echo 0")
    executable(tools / "apt-get", f'case "$*" in *" install "*python3.12-venv) : >{flag} ;; esac')
    result = run(ready, "demo", PATH=bare_host)
    assert "python3.12-venv" in result.stderr
    assert "making .venv with" in result.stderr
