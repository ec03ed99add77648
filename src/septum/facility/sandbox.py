"""The folder tree and the process space that the pool runs in: bubblewrap over the unpacked Debian."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from septum.facility.debian import UID, USER

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from septum.facility.debian import Debian

POOL = "/pool"
"""Where the pool's own folder is mounted."""


@dataclass(frozen=True)
class Sandbox:
    """How to run a command inside the pool's world.

    Every command gets a process space of its own, which ends with the command: whatever it leaves behind is killed.
    The network is the machine's, so that the pool is reached on the loopback interface.
    """

    debian: Debian
    pool: Path
    """The pool's own folder: configuration, logs, spool, execute, home, tmp."""
    read_only: Mapping[str, Path] = field(default_factory=dict)
    """Folders and files to mount: path inside, path outside."""
    writable: Mapping[str, Path] = field(default_factory=dict)
    """Folders that the jobs may write to: path inside, path outside."""

    def argv(self, command: Sequence[str], *, cwd: str = "/tmp") -> list[str]:  # noqa: S108 - the sandbox's own
        """Return the whole command line that runs a command inside.

        Args:
            command: The command and its arguments.
            cwd: Working folder, as seen inside.
        """
        root = self.debian.root
        words = [str(self.debian.tool("bwrap")), "--die-with-parent", "--new-session"]
        words += ["--unshare-user", "--unshare-pid", "--unshare-ipc", "--unshare-uts", "--hostname", "localhost"]
        words += ["--uid", str(UID), "--gid", str(UID), "--clearenv"]
        for name, value in _ENVIRONMENT.items():
            words += ["--setenv", name, value]
        words += ["--ro-bind", str(root / "usr"), "/usr", "--ro-bind", str(root / "etc"), "/etc"]
        for name in ("bin", "lib", "lib64", "sbin"):
            words += ["--symlink", f"usr/{name}", f"/{name}"]
        for name in ("/var/tmp", "/var/lib/apptainer/mnt/session", "/run", "/srv", "/mnt", "/sys"):  # noqa: S108
            words += ["--dir", name]
        words += ["--proc", "/proc", "--dev", "/dev", "--tmpfs", "/dev/shm"]  # noqa: S108
        # All commands share these: HTCondor's FS authentication leaves its proof in /tmp.
        binds = {"/tmp": self.pool / "tmp", f"/home/{USER}": self.pool / "home", POOL: self.pool}  # noqa: S108
        for inside, outside in {**binds, **self.writable}.items():
            words += ["--bind", str(outside), inside]
        for inside, outside in self.read_only.items():
            words += ["--ro-bind", str(outside), inside]
        return [*words, "--chdir", cwd, *command]


# Nothing of the caller's environment gets in.
_ENVIRONMENT = {
    "CONDOR_CONFIG": f"{POOL}/etc/condor_config",
    "HOME": f"/home/{USER}",
    "LANG": "C.UTF-8",
    "LOGNAME": USER,
    "PATH": "/usr/local/bin:/usr/bin:/usr/sbin",
    "TZ": "UTC",
    "USER": USER,
}
