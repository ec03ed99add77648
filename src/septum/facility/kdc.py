"""A real Kerberos realm on the loopback interface: the key distribution centre of MIT."""

from __future__ import annotations

import secrets
import subprocess
from typing import TYPE_CHECKING

from septum.facility import process
from septum.facility.errors import FacilityError
from septum.facility.pool import free_port
from septum.facility.sandbox import POOL, Sandbox

if TYPE_CHECKING:
    from pathlib import Path

    from septum.facility.debian import Debian

REALM = "SEPTUM.TEST"
_FOLDERS = ("etc", "home", "tmp")
_READY_TIMEOUT_S = 60.0
_STOP_TIMEOUT_S = 10.0
_CALL_TIMEOUT_S = 60.0

# For the clients and, mounted as /etc/krb5.conf, for the daemons of a pool and for the centre itself. Nothing asks the
# DNS, and a server on this machine is `host/localhost` whatever domain the machine is in.
_CLIENT = """\
[libdefaults]
    default_realm = {realm}
    dns_lookup_kdc = false
    dns_lookup_realm = false
    dns_canonicalize_hostname = false
    rdns = false
    qualify_shortname = ""
    udp_preference_limit = 1
    # The tools also run on machines whose own plugins are of another version.
    plugin_base_dir = /nonexistent

[realms]
    {realm} = {{
        kdc = localhost:{port}
    }}

[domain_realm]
    localhost = {realm}
"""
# For the centre alone, as /etc/krb5kdc/kdc.conf.
_SERVER = """\
[kdcdefaults]
    kdc_listen = ""
    kdc_tcp_listen = 127.0.0.1:{port}

[realms]
    {realm} = {{
        database_name = {pool}/principal
        key_stash_file = {pool}/stash
        max_life = 24h
        max_renewable_life = 7d
        # Like every site: who does not know the password gets nothing to try passwords on.
        default_principal_flags = +preauth
    }}

[dbmodules]
    db_module_dir = {plugins}/kdb

[logging]
    kdc = FILE:{pool}/kdc.log
    admin_server = FILE:{pool}/admin.log
    default = FILE:{pool}/library.log
"""


class Kdc:
    """A key distribution centre with its realm, in a folder of its own. Create it with `start_kdc`."""

    def __init__(self, *, realm: str, config: Path, sandbox: Sandbox, server: subprocess.Popen[str]) -> None:
        self.realm = realm
        self.config = config
        self.folder = sandbox.pool
        self.passwords: dict[str, str] = {}
        """The passwords of those who have one."""
        self._sandbox = sandbox
        self._server = server

    @property
    def environment(self) -> dict[str, str]:
        """The variables with which Kerberos's tools and libraries find this realm and no other."""
        return {"KRB5_CONFIG": str(self.config)}

    def add_principal(self, name: str, password: str | None = None, *, max_life_s: int | None = None) -> None:
        """Register somebody, or a service such as `host/localhost`.

        Args:
            name: With or without `@` and the realm.
            password: `None` makes a random key, to be had as a keytab only.
            max_life_s: How long its tickets live at most; `None` for a day. For a service it limits the tickets of
                those who use it.

        Raises:
            FacilityError: It exists, or the name is none.
        """
        life = [] if max_life_s is None else ["-maxlife", f"{max_life_s} seconds"]
        if password is None:
            self._administer("add_principal", *life, "-randkey", name)
            return
        # Asked for the password it reads the standard input, twice: every user of the machine can read arguments.
        self._administer("add_principal", *life, name, stdin=f"{password}\n" * 2)
        self.passwords[name] = password

    def set_password(self, name: str, password: str) -> None:
        """Give a principal another password, with which all its keytabs become worthless.

        Args:
            name: The principal.
            password: The new one.

        Raises:
            FacilityError: There is no such principal.
        """
        self._administer("change_password", name, stdin=f"{password}\n" * 2)
        self.passwords[name] = password

    def keytab(self, name: str, out: Path) -> Path:
        """Write the keys of a principal to a file with mode 0600. Its password stays what it is.

        Args:
            name: The principal.
            out: The file; one that is there is replaced.

        Returns:
            The file.

        Raises:
            FacilityError: There is no such principal.
        """
        keys = self.folder / "new.keytab"
        keys.unlink(missing_ok=True)
        self._administer("ktadd", "-norandkey", "-keytab", f"{POOL}/{keys.name}", name)
        # The tool only warns of a principal that it does not know.
        if not keys.exists():
            raise FacilityError(f"the realm {self.realm} has no {name}", fix="call add_principal first")
        out.unlink(missing_ok=True)
        out.touch(mode=0o600)
        out.write_bytes(keys.read_bytes())
        keys.unlink()
        return out

    def _administer(self, *words: str, stdin: str = "") -> None:
        process.run(
            self._sandbox.argv(["kadmin.local", *words]),
            what=f"{words[0]} in the realm {self.realm}",
            timeout_s=_CALL_TIMEOUT_S,
            fix=f"read {self.folder / 'admin.log'}",
            env={},
            stdin=stdin,
        )

    def wait_ready(self, timeout_s: float = _READY_TIMEOUT_S) -> None:
        """Wait until the centre answers.

        Args:
            timeout_s: Deadline in seconds.

        Raises:
            FacilityError: It ended or did not answer in time; its log is the evidence.
        """
        process.wait_until(
            lambda: not self.running or "commencing operation" in self.log(lines=1000), timeout_s=timeout_s
        )
        if not self.running or "commencing operation" not in self.log(lines=1000):
            raise FacilityError(
                "the Kerberos key distribution centre did not start",
                evidence=self.log(),
                fix=f"read kdc.log and kdc.out in {self.folder}",
            )

    @property
    def running(self) -> bool:
        """Whether the centre's process is alive."""
        return self._server.poll() is None

    def log(self, lines: int = 15) -> str:
        """Return the last lines of the centre's log, or what it printed if there is none."""
        for name in ("kdc.log", "kdc.out"):
            path = self.folder / name
            if path.is_file() and path.stat().st_size:
                return process.tail(path.read_text(encoding="utf-8", errors="replace"), lines)
        return ""

    def stop(self) -> None:
        """Stop the centre. Does nothing if it has ended."""
        # It writes nothing that has to be saved, and its process space ends with its first process.
        process.kill_group(self._server)
        self._server.wait(timeout=_STOP_TIMEOUT_S)


def start_kdc(folder: Path, *, debian: Debian, realm: str = REALM) -> Kdc:
    """Create an empty realm and start its centre. Call `wait_ready` before use and `stop` at the end.

    The centre dies with the thread that starts it, so start it from one that lives long enough.

    Args:
        folder: A new folder for everything that it writes.
        debian: The root folder to run in.
        realm: The name, in capital letters.

    Raises:
        FacilityError: The database could not be created, or the sandbox cannot be started.
    """
    port = free_port()
    folder.mkdir(mode=0o700, parents=True)
    for name in _FOLDERS:
        (folder / name).mkdir(mode=0o700)
    config = folder / "krb5.conf"
    config.write_text(_CLIENT.format(realm=realm, port=port), encoding="ascii")
    plugins = next((debian.root / "usr/lib").glob("*-linux-gnu/krb5/plugins")).relative_to(debian.root)
    (folder / "etc/kdc.conf").write_text(
        _SERVER.format(realm=realm, port=port, pool=POOL, plugins=f"/{plugins}"), encoding="ascii"
    )
    sandbox = Sandbox(debian=debian, pool=folder, read_only={"/etc/krb5.conf": config, "/etc/krb5kdc": folder / "etc"})
    process.run(
        # Asked for the master key it reads the standard input, twice.
        sandbox.argv(["kdb5_util", "create", "-s", "-r", realm]),
        what=f"create the realm {realm}",
        timeout_s=_CALL_TIMEOUT_S,
        env={},
        stdin=f"{secrets.token_hex(32)}\n" * 2,
    )
    with (folder / "kdc.out").open("w") as out:
        server = subprocess.Popen(
            sandbox.argv(["krb5kdc", "-n"], cwd=POOL),
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            text=True,
            env={},
            start_new_session=True,
        )
    return Kdc(realm=realm, config=config, sandbox=sandbox, server=server)
