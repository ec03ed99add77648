"""Completes the installation of septum in an image that is not its own: `python3 -I -m septum.install FOLDER`.

Runs right after the wheel was installed without its dependencies, so it imports the standard library and
`septum.errors` alone. What it installs stands in `lock.txt` beside it: one hash of the wheel pins everything.
"""

from __future__ import annotations

import argparse
import os
import platform
import re
import shlex
import subprocess
import sys
from pathlib import Path

from septum.errors import DamagedPackageError, DiskFullError, ImageUnfitError, SeptumError, TryAgainError, UsageError

LOCKS = {"": "lock.txt", "root": "lock-root.txt"}
"""The lock of the plain dependencies, and that of what an extra brings beside them."""

_DEADLINE_S = 1200.0
_NO_CONTACT = re.compile(
    r"connection (broken|error)|Max retries exceeded|Read timed out|timed out|HTTP error 5\d\d|\b5\d\d Server Error"
    r"|Could not fetch URL (?!.*\b40\d Client Error)|Network is unreachable|name resolution|RemoteDisconnected"
    r"|ProxyError",
    re.IGNORECASE,
)
_NO_VERSION = "No matching distribution found"
_PIP = ("--no-input", "--no-user", "--disable-pip-version-check", "--no-deps")


def install(extra: str = "", *, compiled: bool) -> None:
    """Install what one lock names into the environment of this Python, wheels only, each by its hash.

    Args:
        extra: A key of `LOCKS`.
        compiled: Whether all modules are compiled now, as an image wants it; a CI job needs few of them, and once.

    Raises:
        DamagedPackageError: A package has another checksum than the lock says.
        ImageUnfitError: A package has no wheel for this image.
        DiskFullError: No room.
        TryAgainError: The package index did not answer.
    """
    lock = Path(__file__).with_name(LOCKS[extra])
    # No build ever: neither a compiler nor a package's own code runs before its checksum was compared.
    how = ("--compile" if compiled else "--no-compile", "--only-binary", ":all:", "--require-hashes")
    command = ("install", *_PIP, *how, "--requirement", str(lock))
    done = _pip(*command, "--quiet")
    if done.returncode:
        said = done.stdout + done.stderr
        # Of an index that does not answer, pip says that it has no such version, unless asked twice to be verbose.
        aloud = _pip(*command, "-vv") if _NO_VERSION in said else done
        raise explain(said, aloud=aloud.stdout + aloud.stderr)


def check() -> None:
    """Look whether all packages are there, and agree with each other.

    Raises:
        DamagedPackageError: They do not, so the lock is not that of this wheel.
    """
    done = _pip("check", "--disable-pip-version-check")
    if done.returncode:
        raise DamagedPackageError(
            "install: the packages do not belong together",
            evidence=_end(done.stdout + done.stderr),
            fix="report it: the lock of this release of septum is not complete",
        )


def write_command(folder: Path) -> None:
    """Put the command `septum`, and nothing else, into a folder for PATH.

    The `python3` of the image stays the one that the user's own lines find, and its PYTHONPATH stays theirs: septum
    starts without it (-I).
    """
    folder.mkdir(parents=True, exist_ok=True)
    command = folder / "septum"
    command.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -I -m septum "$@"\n', encoding="utf-8")
    command.chmod(0o755)


def explain(said: str, *, aloud: str = "") -> SeptumError:
    """What it means that pip failed.

    Args:
        said: All that it printed.
        aloud: The same with all details, if somebody asked for them.
    """
    evidence = _end(said)
    if re.search(r"DO NOT MATCH THE HASHES|hash mismatch", said, re.IGNORECASE):
        return DamagedPackageError(
            "install: a package is not the one that this release of septum was tested with",
            evidence=evidence,
            fix="find out who changed it: the package index or its mirror (PIP_INDEX_URL), or something on the way",
        )
    if "No space left on device" in said:
        return DiskFullError(
            "install: no room for septum's packages", evidence=evidence, fix="make room, or set TMPDIR"
        )
    if _NO_VERSION in said and not _NO_CONTACT.search(said + aloud):
        return ImageUnfitError(
            "install: a package that septum needs has no wheel for this image, or the package index does not have it",
            evidence=f"{evidence}\n{_image()}",
            fix="take an image with glibc 2.28 or newer (no Alpine) and Python 3.10 to 3.14, on x86_64 or aarch64;\n"
            "or put septum into the image yourself",
        )
    return TryAgainError(
        "install: the package index did not give septum's packages",
        evidence=evidence,
        fix="start the CI job again; where the runner has no way out, set PIP_INDEX_URL to a mirror",
    )


def main(arguments: list[str] | None = None) -> int:
    """Install, check, and write the command; the exit code."""
    parser = argparse.ArgumentParser(prog="python3 -I -m septum.install", description=__doc__)
    parser.add_argument("folder", nargs="?", type=Path, help="where the command goes (default: nowhere)")
    parser.add_argument("--extra", choices=sorted(filter(None, LOCKS)), help="install that extra, too")
    args = parser.parse_args(arguments)
    try:
        if sys.prefix == sys.base_prefix and args.folder:
            raise UsageError(
                "install: this Python is the image's own, and its packages may be needed by the analysis",
                evidence=f"sys.prefix is {sys.prefix}",
                fix="python3 -m venv FOLDER, install the wheel there, and call FOLDER/bin/python3",
            )
        for lock in ("", args.extra) if args.extra else ("",):
            install(lock, compiled=args.folder is None)
        check()
        if args.folder:
            write_command(args.folder)
    except SeptumError as error:
        sys.stderr.write(f"septum: {error}\n")
        return error.exit_code
    return 0


def _pip(*arguments: str) -> subprocess.CompletedProcess[str]:
    # Isolated from the image's PYTHONPATH; pip's own variables stay, since they say where packages come from.
    command = [sys.executable, "-I", "-m", "pip", *arguments]
    environ = {**os.environ, "LC_ALL": "C.UTF-8", "PIP_NO_COLOR": "1"}
    try:
        return subprocess.run(
            command,
            env=environ,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=_DEADLINE_S,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise TryAgainError(
            f"install: pip {arguments[0]} did not end within {_DEADLINE_S / 60:.0f} minutes",
            fix="start the CI job again; if it stays, look at the network of the runner",
        ) from error


def _end(said: str) -> str:
    """The last lines, without what somebody may have put into the address of an index."""
    return re.sub(r"://[^/@\s]+@", "://****@", "\n".join(said.strip().splitlines()[-8:]))


def _image() -> str:
    libc = " ".join(platform.libc_ver()).strip() or "another libc than glibc"
    return f"this image: Python {platform.python_version()}, {platform.machine()}, {libc}"


if __name__ == "__main__":
    sys.exit(main())
