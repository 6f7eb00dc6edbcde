"""What users bring as Python files: ``FILE.py:NAME``, loaded by path, once per process."""

from __future__ import annotations

import importlib.util
import sys
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

from bench.errors import InputError

_MARK = ".py:"


def is_reference(text: str) -> bool:
    """Whether a text is written as ``FILE.py:NAME``."""
    return _MARK in text


def split(text: str) -> tuple[Path, str]:
    """File and name of a reference."""
    path, _, name = text.rpartition(_MARK)
    return Path(f"{path}.py"), name


def absolute(text: str) -> str:
    """The same reference from any working folder, so that any process can load it."""
    path, name = split(text)
    return f"{path.resolve()}:{name}"


def load(text: str, field: str) -> Any:
    """What a reference names.

    Args:
        text: ``FILE.py:NAME``.
        field: the option or key it was given to, for messages.

    Raises:
        InputError: no such file, the file cannot be executed, or it has no such name.
    """
    path, name = split(text)
    module = module_of(path, field)
    if not hasattr(module, name):
        public = [key for key in vars(module) if not key.startswith("_")]
        raise InputError(
            f"defines no {name!r}",
            remedy=f"name one of {', '.join(public)}" if public else "define it",
            field=field,
            value=text,
        )
    return getattr(module, name)


def module_of(path: Path, field: str) -> ModuleType:
    """The module of a file.

    Raises:
        InputError: no such file, or it cannot be executed.
    """
    if not path.is_file():
        raise InputError("no such file", remedy="check the path", field=field, value=str(path))
    try:
        state = path.stat()
        return _executed(path.resolve(), (state.st_mtime_ns, state.st_size))
    except Exception as error:
        raise InputError(
            f"cannot be loaded: {type(error).__name__}: {error}",
            remedy="correct the file",
            field=field,
            value=str(path),
        ) from error


@cache
def _executed(path: Path, state: tuple[int, int]) -> ModuleType:
    """The module of a file in one state of it: an edited file is another one."""
    name = f"telemed_bench_file_{path.stem.replace('.', '_')}_{abs(hash((path, state))):x}"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look their module up
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module
