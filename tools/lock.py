"""`make lock`: writes the locks that septum is installed from, and looks whether every image can use them.

Two stand in the package, since the hash of the wheel must pin them: `lock.txt` for what `pyproject.toml` asks for, and
`lock-root.txt` for what the extra `root` adds, which septum's own image has. `tools/build.txt` builds the wheel.
Asks the package index; `--check` writes nothing.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import unquote

from tools.lockfile import Locked, read_lock, without_wheel

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parents[1]
LOCK = Path("src/septum/lock.txt")
LOCK_ROOT = Path("src/septum/lock-root.txt")
BUILD = Path("tools/build.txt")
BUILD_TOOLS = Path("tools/build.in")
PYTHONS = ("3.10", "3.11", "3.12", "3.13", "3.14")
"""The versions for which every package must have a wheel; the first is the oldest that septum runs on."""
MACHINES = ("x86_64", "aarch64")
_DEADLINE_S = 600.0


def main(arguments: list[str] | None = None) -> int:
    """Write or check the locks; the exit code."""
    parser = argparse.ArgumentParser(prog="make lock", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; exit code 2 if a lock is out of date")
    parser.add_argument("--upgrade", action="store_true", help="take the newest versions, not those of the lock")
    args = parser.parse_args(arguments)
    try:
        made = compile_all(ROOT, upgrade=args.upgrade)
        # An index may add files to a version later: that does not make a lock wrong.
        stale = [path for path, text in made.items() if not _agree(ROOT / path, text)]
        if args.check and stale:
            raise LockError(f"out of date: {', '.join(map(str, stale))}; run 'make lock', and commit the result")
        for path in () if args.check else made:
            (ROOT / path).write_text(made[path], encoding="utf-8")
        locked = tuple(item for path in (LOCK, LOCK_ROOT) for item in read_lock(_read(ROOT / path)))
        try_wheels(locked, wheels_on_index(ROOT))
    except LockError as error:
        sys.stderr.write(f"lock: {error}\n")
        return 2
    sys.stdout.write(f"lock: every package has a wheel for Python {PYTHONS[0]} to {PYTHONS[-1]} on {MACHINES}\n")
    return 0


class LockError(Exception):
    """A lock is out of date, or no good for an image that septum promises to run in."""


def compile_all(root: Path, *, upgrade: bool) -> dict[Path, str]:
    """What the locks must hold, by their path below `root`. Versions of the existing locks are kept where they fit."""
    both = _compile(root, Path("pyproject.toml"), "--extra", "root", keep=[LOCK, LOCK_ROOT], upgrade=upgrade)
    plain = _compile(root, Path("pyproject.toml"), keep=[LOCK], upgrade=upgrade)
    names = {item.name for item in plain}
    return {
        LOCK: _text(plain),
        LOCK_ROOT: _text([item for item in both if item.name not in names]),
        BUILD: _text(_compile(root, BUILD_TOOLS, keep=[BUILD], upgrade=upgrade)),
    }


def wheels_on_index(root: Path) -> dict[str, str]:
    """The names of all wheels of the locked versions, by their SHA-256, as the package index has them now."""
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / "pylock.toml"
        locked = [argument for path in (LOCK, LOCK_ROOT) for argument in ("--constraint", str(path))]
        how = ("--universal", "--python-version", PYTHONS[0], "--extra", "root", "--format", "pylock.toml")
        _uv("pip", "compile", *how, *locked, "--output-file", str(output), "pyproject.toml", cwd=root)
        found = tomllib.loads(output.read_text(encoding="utf-8"))
    wheels = [wheel for package in found["packages"] for wheel in package.get("wheels", [])]
    return {wheel["hashes"]["sha256"]: unquote(wheel["url"].rpartition("/")[2]) for wheel in wheels}


def try_wheels(lock: tuple[Locked, ...], files: Mapping[str, str]) -> None:
    """Look whether every image that septum promises to run in gets every package, by the hashes of the lock.

    Args:
        lock: What is to be installed.
        files: See `wheels_on_index`.

    Raises:
        LockError: A package would have to be built there.
    """
    for python in PYTHONS:
        for machine in MACHINES:
            if missing := without_wheel(lock, files, python=python, machine=machine):
                raise LockError(f"no wheel for Python {python} on {machine}: {', '.join(missing)}")


def _compile(root: Path, source: Path, *options: str, keep: list[Path], upgrade: bool) -> tuple[Locked, ...]:
    with tempfile.TemporaryDirectory() as folder:
        # uv prefers the versions that the output file has already.
        output = Path(folder) / "lock.txt"
        kept = [root / path for path in keep if not upgrade and (root / path).is_file()]
        output.write_text("".join(path.read_text(encoding="utf-8") for path in kept), encoding="utf-8")
        style = ("--universal", "--generate-hashes", "--no-header", "--annotation-style", "line")
        python = ("--python-version", PYTHONS[0])
        command = ("pip", "compile", *style, *python, "--output-file", str(output), *options, str(source))
        _uv(*command, cwd=root)
        return read_lock(output.read_text(encoding="utf-8"))


def _text(lock: tuple[Locked, ...] | list[Locked]) -> str:
    return "".join(item.text for item in lock)


def _agree(path: Path, text: str) -> bool:
    if not path.is_file():
        return False
    old, new = ({(item.name, item.version, item.marker): item for item in read_lock(it)} for it in (_read(path), text))
    return old.keys() == new.keys() and all(set(old[key].hashes) <= set(new[key].hashes) for key in old)


def _read(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def _uv(*arguments: str, cwd: Path = ROOT) -> None:
    command = [sys.executable, "-m", "uv", "--quiet", *arguments]
    try:
        done = subprocess.run(
            command, cwd=cwd, capture_output=True, text=True, timeout=_DEADLINE_S, stdin=subprocess.DEVNULL, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise LockError(f"uv did not end within {_DEADLINE_S:.0f} s: {' '.join(arguments)}") from error
    if done.returncode:
        raise LockError(f"uv {' '.join(arguments)}:\n{done.stderr.strip()}")


if __name__ == "__main__":
    sys.exit(main())
