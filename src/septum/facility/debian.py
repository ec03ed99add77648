"""HTCondor and its friends from Debian testing, unpacked into one folder, without root.

HTCondor's daemons are not in Debian stable in a version that matches the Python wheel. The packages of Debian testing
need a newer libc than the machine has, so the whole closure, libc included, goes into a root folder of its own. No
maintainer script runs; what those would have made (accounts, the CA bundle, Python's bytecode) is made here.
"""

from __future__ import annotations

import contextlib
import os
import platform
import shutil
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from septum.facility import aptsource, cache, process
from septum.facility.errors import FacilityError

# The second suite serves only what the first one lacks (apptainer).
_SUITES = ("forky", "sid")
_PACKAGES = (
    # the pool
    "condor",
    # what every job expects of a machine
    *("base-files", "base-passwd", "bash", "coreutils", "dash", "findutils", "gawk", "grep", "gzip", "hostname"),
    *("ca-certificates", "libc-bin", "procps", "sed", "tar", "python3"),
    # containers inside the pool
    "apptainer",
    # a Kerberos realm
    *("krb5-kdc", "krb5-admin-server", "krb5-user"),
    # a storage server for VOMS proxies and bearer tokens, and its clients (5 MB)
    *("xrootd-client", "xrootd-scitokens-plugins", "xrootd-server", "xrootd-voms-plugins"),
    # tools that also run outside the root folder, see _OUTSIDE
    *("bubblewrap", "openssl", "rsync", "voms-clients"),
)
# apptainer runs without network set-up of its own, and these are a third of its size; Kerberos does not ask the DNS;
# the scripts of XRootD's packages that want the last two are not run.
_NOT_NEEDED = ("containernetworking-plugins", "bind9-host", "expect", "logrotate")
_OUTSIDE = (
    *("bwrap", "kdestroy", "kinit", "klist", "openssl", "rsync", "voms-proxy-fake", "voms-proxy-info"),
    *("xrdcp", "xrdfs"),
)
# What Debian's alternatives system would have linked.
_LINKS = {
    "awk": "gawk",
    "kdestroy": "kdestroy.mit",
    "kinit": "kinit.mit",
    "klist": "klist.mit",
    "sh": "dash",
    "voms-proxy-info": "voms-proxy-info2",
    "voms-proxy-init": "voms-proxy-init2",
}
# Count this up when a change below must rebuild the folders that users already have.
_RECIPE = 1
_TRIES = 3

# What stays in force of the machine's own apt configuration.
_KEPT = ("Acquire::http", "Acquire::Check", "Acquire::Force")

# The accounts of the pool: everything runs as the first ordinary user.
USER = "cmscat"
UID = 1000
_ETC = {
    "passwd": f"root:x:0:0:root:/root:/bin/bash\n{USER}:x:{UID}:{UID}:{USER}:/home/{USER}:/bin/bash\n"
    "condor:x:998:998::/nonexistent:/bin/false\nnobody:x:65534:65534:nobody:/nonexistent:/bin/false\n",
    "group": f"root:x:0:\n{USER}:x:{UID}:\ncondor:x:998:\nnogroup:x:65534:\n",
    "hosts": "127.0.0.1 localhost\n",
    "hostname": "localhost\n",
    "nsswitch.conf": "passwd: files\ngroup: files\nhosts: files dns\n",
    "resolv.conf": "",
    # The place where `kdc.py` mounts its own.
    "krb5.conf": "",
    "machine-id": "",
    # Empty means UTC; apptainer wants the file.
    "localtime": "",
}


@dataclass(frozen=True)
class Debian:
    """An unpacked root folder."""

    folder: Path

    @property
    def root(self) -> Path:
        """The root folder itself, which nothing writes to after it is built."""
        return self.folder / "root"

    @property
    def bin(self) -> Path:
        """The folder with the tools that also run outside the root folder."""
        return self.folder / "bin"

    @property
    def python_version(self) -> str:
        """The version of the Python in the root folder, such as `3.14`."""
        return (self.folder / "python-version").read_text(encoding="ascii").strip()

    def tool(self, name: str) -> Path:
        """Return the path of a tool that runs outside the root folder."""
        return self.bin / name


def debian() -> Debian:
    """Return the root folder with HTCondor, and download and unpack it if the cache has none.

    Raises:
        FacilityError: No mirror is known, or a package could not be downloaded or unpacked.
    """
    recipe = [_RECIPE, _SUITES, _PACKAGES, _NOT_NEEDED, _OUTSIDE, _LINKS, _ETC, platform.machine()]
    return Debian(cache.build_once(cache.entry_name("debian", recipe), _build))


def _build(folder: Path) -> None:
    packages = download(folder / "apt", _PACKAGES)
    root = folder / "root"
    root.mkdir()
    with ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
        list(pool.map(lambda package: unpack(package, root), packages))
    names = sorted(package.name.replace("%3a", ":") for package in packages)
    (folder / "packages.txt").write_text("\n".join(names) + "\n", encoding="ascii")
    shutil.rmtree(folder / "apt")
    _furnish(root)
    _wrap(folder)
    python = next((root / "usr/bin").glob("python3.[0-9]*")).name
    (folder / "python-version").write_text(python.removeprefix("python") + "\n", encoding="ascii")
    # The place where `worker.py` mounts its modules; the root folder is read-only by then.
    (root / "usr/local/lib" / python / "dist-packages").mkdir(parents=True)
    compile_modules(folder, "/usr/lib/python3", f"/usr/lib/{python}")


def download(apt: Path, packages: Sequence[str]) -> list[Path]:
    """Download packages of Debian testing with all that they depend on.

    Args:
        apt: A new folder for apt's state and what it downloads.
        packages: Their names.

    Returns:
        The package files.

    Raises:
        FacilityError: No mirror is known, or one does not give them.
    """
    mirror = aptsource.find_mirror()
    for name in ("etc/preferences.d", "etc/trusted.gpg.d", "state/lists/partial", "cache/archives/partial", "log"):
        (apt / name).mkdir(parents=True)
    signed = f"[signed-by={mirror.keyring}] " if mirror.keyring else ""
    sources = [f"deb {signed}{mirror.uri} {suite} main\n" for suite in _SUITES]
    (apt / "etc/sources.list").write_text("".join(sources), encoding="utf-8")
    architecture = process.run(
        ["dpkg", "--print-architecture"], what="ask dpkg for the architecture", timeout_s=30
    ).stdout.strip()
    # An empty status file makes apt resolve the whole closure. What is listed as installed stays out of it.
    status = [
        f"Package: {name}\nStatus: install ok installed\nArchitecture: {architecture}\nVersion: 99\n"
        "Maintainer: nobody\nDescription: left out\n\n"
        for name in _NOT_NEEDED
    ]
    (apt / "state/status").write_text("".join(status), encoding="utf-8")
    (apt / "apt.conf").write_text(_apt_conf(apt, architecture), encoding="utf-8")
    # APT_CONFIG is read before the machine's own configuration and switches that off, hooks included.
    env = {**os.environ, "APT_CONFIG": str(apt / "apt.conf"), "LC_ALL": "C", "DEBIAN_FRONTEND": "noninteractive"}
    for command in (["update"], ["install", "--download-only", *packages]):
        _patiently(["apt-get", "--yes", "--quiet=2", *command], env)
    return sorted((apt / "cache/archives").glob("*.deb"))


def _apt_conf(apt: Path, architecture: str) -> str:
    # Proxies, time-outs and the like of this machine stay in force; its hooks and its package state do not.
    dump = process.run(["apt-config", "dump"], what="read the apt configuration", timeout_s=30).stdout
    kept = [
        line for line in dump.splitlines() if line.startswith(("Acquire::http", "Acquire::https", "Acquire::Check"))
    ]
    own = {
        "Dir::Etc::main": "/dev/null",
        "Dir::Etc::parts": "/dev/null",
        "Dir::Etc::sourcelist": apt / "etc/sources.list",
        "Dir::Etc::sourceparts": "/dev/null",
        "Dir::Etc::preferences": "/dev/null",
        "Dir::Etc::preferencesparts": apt / "etc/preferences.d",
        "Dir::State": apt / "state",
        "Dir::State::status": apt / "state/status",
        "Dir::Cache": apt / "cache",
        "Dir::Log": apt / "log",
        "APT::Architecture": architecture,
        "APT::Architectures::": architecture,
        "APT::Default-Release": _SUITES[0],
        "APT::Install-Recommends": "false",
        # The folder of an ordinary user is closed to apt's own account.
        "APT::Sandbox::User": "root",
        "Acquire::Languages": "none",
        "Acquire::Retries": "3",
        "Acquire::Check-Valid-Until": "false",
        "Debug::NoLocking": "true",
    }
    return "\n".join([*kept, *(f'{key} "{value}";' for key, value in own.items())]) + "\n"


def _patiently(argv: list[str], env: dict[str, str]) -> None:
    # A mirror that is just being updated shows a wrong hash for a while.
    for attempt in range(1, _TRIES):
        with contextlib.suppress(FacilityError):
            _apt_get(argv, env)
            return
        process.pause(5 * attempt)
    _apt_get(argv, env)


def _apt_get(argv: list[str], env: dict[str, str]) -> None:
    process.run(
        argv,
        what="download from Debian testing",
        timeout_s=600,
        fix="check that this machine reaches the mirror that its apt sources name, then try again",
        env=env,
    )


def unpack(package: Path, root: Path) -> None:
    """Lay the files of a package down in a folder; none of its scripts runs.

    Raises:
        FacilityError: It is damaged.
    """
    process.run(["dpkg-deb", "--extract", package, root], what=f"unpack {package.name}", timeout_s=120)


def _furnish(root: Path) -> None:
    """Write what the maintainer scripts would have written."""
    for name in ("doc", "info", "locale", "man"):
        cache.remove_tree(root / "usr/share" / name)
    etc = root / "etc"
    for name, text in _ETC.items():
        (etc / name).unlink(missing_ok=True)
        (etc / name).write_text(text, encoding="ascii")
    bundle = "".join(
        path.read_text(encoding="utf-8") for path in sorted((root / "usr/share/ca-certificates").rglob("*.crt"))
    )
    certs = etc / "ssl/certs"
    certs.mkdir(parents=True, exist_ok=True)
    (certs / "ca-certificates.crt").write_text(bundle, encoding="utf-8")
    for name, target in _LINKS.items():
        link = root / "usr/bin" / name
        if not link.exists():
            link.symlink_to(target)


def _wrap(folder: Path) -> None:
    """Write the scripts that start a tool with the loader and the libraries of the root folder."""
    root = folder / "root"
    libraries = next((root / "usr/lib").glob("*-linux-gnu"))
    loader = next(path for path in libraries.glob("ld-linux*.so.*"))
    (folder / "bin").mkdir()
    for name in _OUTSIDE:
        if not (root / "usr/bin" / name).exists():
            raise FacilityError(
                f"the package closure has no {name}", fix="add the package that has it to the list in debian.py"
            )
        script = folder / "bin" / name
        script.write_text(
            "#!/bin/sh\n"
            'case $0 in */*) here=${0%/*} ;; *) here=$(dirname "$(command -v "$0")") ;; esac\n'
            'root=$(cd "$here/../root" && pwd) || exit 127\n'
            f'exec "$root/{loader.relative_to(root)}" --library-path "$root/{libraries.relative_to(root)}" '
            f'"$root/usr/bin/{name}" "$@"\n',
            encoding="ascii",
        )
        script.chmod(0o755)


def compile_modules(folder: Path, *inside: str, mount: Path | None = None) -> None:
    """Compile Python modules with the Python of the root folder.

    What the pool mounts is read-only, so without this every job would compile all that it imports again.

    Args:
        folder: Folder of the unpacked Debian.
        *inside: The folders to compile, as seen inside.
        mount: A folder to mount at the first of them, in place of what the root folder has there.
    """
    argv: list[str | Path] = [folder / "bin/bwrap", "--unshare-user", "--unshare-pid", "--clearenv"]
    argv += ["--bind", folder / "root", "/", "--proc", "/proc", "--dev", "/dev", "--setenv", "PATH", "/usr/bin"]
    argv += ["--tmpfs", "/tmp"]  # noqa: S108 - the sandbox's own
    if mount is not None:
        argv += ["--bind", mount, inside[0]]
    argv += ["/usr/bin/python3", "-m", "compileall", "-q", "-j", "2", *inside]
    # A package may bring a file that is no Python of today; that one alone stays uncompiled.
    done = process.run(argv, what="compile Python's modules", timeout_s=300, check=False)
    compiled = mount or folder / "root" / inside[0].lstrip("/")
    if not any(compiled.rglob("*.pyc")):
        raise FacilityError(
            f"no module of {inside[0]} was compiled",
            evidence=process.tail(done.stderr),
            fix="run it by hand to see why",
        )
