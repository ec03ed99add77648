"""What a rehearsal shows of this machine: its software, read-only; no home folder, no /tmp, nothing to write to.

A rehearsal starts no containers. CI jobs and parts find the programs that the person at the keyboard finds, each in a
process space that ends with it.
"""

from __future__ import annotations

import os
import shlex
import shutil
import site
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from septum.facility import cache, node
from septum.facility.debian import USER

if TYPE_CHECKING:
    from septum.facility.debian import Debian

MACHINE = "/machine"
"""Where the pool has the folders of this machine, for the parts."""
WRAPPER = "/rehearsal/enter"
"""What HTCondor starts each job with."""

_PATHS = ("PATH", "LD_LIBRARY_PATH", "PYTHONPATH")
_ENVIRONMENTS = ("ROOTSYS", "VIRTUAL_ENV", "CONDA_PREFIX")
_NETWORK = (
    *("http_proxy", "https_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY"),
    *("PIP_INDEX_URL", "PIP_CERT", "SSL_CERT_FILE"),
)
_SYSTEM = ("/usr", "/etc", "/opt", "/cvmfs")
_LINKED = ("/bin", "/sbin", "/lib", "/lib32", "/lib64")
"""Folders of their own, or links into /usr."""
_HIDDEN = (Path("/tmp"), Path("/var/tmp"), Path("/run"))  # noqa: S108 - the machine's
"""What other programs of this machine leave there is not for CI jobs: files, and the sockets of services."""
_RESOLVERS = tuple(map(Path, ("/run/systemd/resolve", "/run/resolvconf", "/run/NetworkManager")))
"""Where /etc/resolv.conf may lead to."""
_INNER = {"bin", "sbin", "condabin", "lib", "lib64"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Software:
    """The software of this machine.

    Attributes:
        variables: What programs need to know to find it.
        folders: Where it is, beside the folders of the system.
    """

    variables: Mapping[str, str]
    folders: tuple[Path, ...]

    @property
    def path(self) -> tuple[Path, ...]:
        """The folders of `PATH`."""
        return tuple(map(Path, filter(None, self.variables.get("PATH", "").split(":"))))


def software(environ: Mapping[str, str], home: Path) -> Software:
    """Find the software that a person has.

    Args:
        environ: The environment of that person.
        home: The home folder, which itself is never shown.
    """
    variables = {name: environ[name] for name in (*_ENVIRONMENTS, *_NETWORK) if environ.get(name)}
    for name in _PATHS:
        kept = [entry for entry in environ.get(name, "").split(":") if entry.startswith("/") and _is_open(Path(entry))]
        if kept:
            variables[name] = ":".join(dict.fromkeys(kept))
    user_base = Path(site.getuserbase())
    if _is_open(user_base):
        # Else a package of `pip install --user` would be looked for in the home folder of the CI job.
        variables["PYTHONUSERBASE"] = str(user_base)
    places = [Path(entry) for name in _PATHS for entry in filter(None, variables.get(name, "").split(":"))]
    places = [place.parent if place.name in _INNER else place for place in places]
    places += [Path(variables[name]) for name in (*_ENVIRONMENTS, "PYTHONUSERBASE") if name in variables]
    places += [Path(sys.prefix), Path(sys.base_prefix), *map(Path, filter(None, sys.path))]
    python = shutil.which("python3", path=variables.get("PATH"))
    if python:
        places.append(Path(python).resolve().parents[1])
    return Software(variables=variables, folders=_outermost(places, home))


def _outermost(places: Iterable[Path], home: Path) -> tuple[Path, ...]:
    """Folders that exist, without those inside of others; none that the home folder is in, or that the system has."""
    too_wide = {home, *home.parents, Path("/")}
    known = {place for place in places if _is_open(place) and place not in too_wide}
    system = {Path(name) for name in (*_SYSTEM, *_LINKED)}
    return tuple(sorted(place for place in known if not (known | system).intersection({place, *place.parents} - {place})
                        and place not in system))  # fmt: skip


def _is_open(folder: Path) -> bool:
    """Whether it is a folder that this user may look into: PATH may name others' as well."""
    return os.path.isdir(folder) and os.access(folder, os.R_OK | os.X_OK)  # noqa: PTH112 - Path's raises where it may not look


def enclosed(debian: Debian, *, writable: Path, shown: Sequence[Path], home: Path) -> list[str]:
    """The beginning of a command line that runs something on this machine and can change one folder of it only.

    Whatever it starts ends with it, and it ends with whoever has started it.

    Args:
        debian: Has bubblewrap.
        writable: That folder.
        shown: Folders that are seen although they lie in /tmp or the home folder.
        home: The home folder, which is empty inside.
    """
    words = [str(debian.tool("bwrap")), "--die-with-parent", "--unshare-user", "--unshare-pid", "--unshare-ipc"]
    words += ["--ro-bind", "/", "/", "--dev", "/dev", "--proc", "/proc"]
    hidden = [folder for folder in (*_HIDDEN, home) if folder.is_dir() and folder != Path("/")]
    for folder in hidden:
        words += ["--tmpfs", str(folder)]
    for folder in (*shown, *_RESOLVERS, cache.cache_folder(), node.node_folder()):
        if any(folder.is_relative_to(above) for above in hidden) and folder.is_dir():
            words += ["--ro-bind", str(folder), str(folder)]
    return [*words, "--bind", str(writable), str(writable), "--"]


def mounts(found: Software) -> dict[str, Path]:
    """What the pool mounts for the parts: path inside, path outside."""
    system = [Path(name) for name in _SYSTEM if Path(name).is_dir()]
    system += [Path(name) for name in _LINKED if Path(name).is_dir() and not Path(name).is_symlink()]
    return {f"{MACHINE}{place}": place for place in (*system, *found.folders)}


def wrapper(found: Software, *, scratch: str) -> str:
    """The script that HTCondor starts each job with: what follows sees the software of this machine, and its own files.

    Args:
        found: The software.
        scratch: The folder of the pool that the working folders of all jobs are in.
    """
    words = ["--die-with-parent", "--proc", "/proc", "--dev", "/dev", "--dir", f"/home/{USER}"]
    words += ["--tmpfs", "/tmp"]  # noqa: S108 - of the part alone
    for inside, outside in mounts(found).items():
        words += ["--ro-bind", inside, str(outside)]
    for name in _LINKED:
        if Path(name).is_symlink():
            words += ["--symlink", str(Path(name).readlink()), name]
    exports = "".join(f"export {name}={shlex.quote(value)}\n" for name, value in sorted(found.variables.items()))
    return (
        "#!/bin/sh\n"
        f"{exports}"
        f"exec /usr/bin/bwrap {shlex.join(words)} --bind {scratch} {scratch} "
        '--chdir "${_CONDOR_SCRATCH_DIR:-$PWD}" -- "$@"\n'
    )
