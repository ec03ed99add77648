"""A Kerberos ticket by MIT's `kinit`, from a keytab or a password; the secret is in a file or on standard input."""

from __future__ import annotations

import base64
import binascii
import contextlib
import datetime as dt
import re
import shutil
import subprocess
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from septum.credentials.provider import Grant, Kind
from septum.credentials.redact import KNOWN
from septum.credentials.secret import Secret, redact
from septum.credentials.variables import KEYTAB
from septum.errors import IssuerUnavailableError, KerberosError

if TYPE_CHECKING:
    from collections.abc import Mapping

_DEADLINE_S = 60
# klist's table with LC_ALL=C: start, end, service. The ticket that gives tickets is named krbtgt/REALM@REALM.
_LINE = re.compile(r"^\S+ \S+ +(\d\d/\d\d/\d\d(?:\d\d)? \d\d:\d\d:\d\d) +krbtgt/", re.MULTILINE)
_UNREACHABLE = ("Cannot contact any KDC", "timed out")
_PROMPT = re.compile(r"^Password for .*?: *\n", re.MULTILINE)
_FIXES = {
    "Password incorrect": "The password in the CI variable is not that of {}.",
    "Preauthentication failed": "The keytab of {} is older than its password: make a new one.",
    "no suitable keys": "The keytab is not that of {}: 'klist -k FILE.keytab' lists whose it is.",
    "not found in Kerberos database": "Check the principal {}: name@REALM, in capitals where the realm has them.",
    "Cannot find KDC": "Check the realm of {}: in capitals, such as CERN.CH. Its KDCs stand in krb5.conf (KRB5_CONFIG) "
    "or in the DNS.",
}
_KEPT = ("PATH", "KRB5_CONFIG", "TMPDIR")


@dataclass(frozen=True, slots=True, kw_only=True)
class KerberosTicket:
    """A ticket of one principal: a provider.

    Args:
        principal: `name@REALM`.
        keytab: Base64 or the bytes as latin-1; empty if there is a password.
        password: Empty if there is a keytab.
        environ: Gives `PATH` and `KRB5_CONFIG`.
        folder: Private; holds keytab and cache for the time of one call.
    """

    principal: str
    keytab: Secret
    password: Secret
    environ: Mapping[str, str] = field(repr=False)
    folder: Path

    kind: ClassVar = Kind.TICKET
    renewable: ClassVar = True

    @property
    def source(self) -> str:
        """How it is got."""
        return f"kinit with a {'keytab' if self.keytab else 'password'}"

    def fetch(self, now: float) -> Grant:
        """Get a new ticket.

        Raises:
            KerberosError: There is no kinit, or the realm refused.
            IssuerUnavailableError: No KDC answered.
        """
        del now  # the ticket's end comes from the realm
        with tempfile.TemporaryDirectory(dir=self.folder, prefix="kinit-") as name:
            folder = Path(name)
            cache = folder / "cache"
            words = ["-c", f"FILE:{cache}"]
            if self.keytab:
                keytab = folder / "keytab"
                keytab.touch(mode=0o600)
                keytab.write_bytes(_keytab_bytes(self.keytab))
                words += ["-k", "-t", f"FILE:{keytab}"]
            self._run("kinit", *words, "--", self.principal, secret=self.password)
            listed = self._run("klist", "-c", f"FILE:{cache}")
            ends = _LINE.search(listed)
            if ends is None:
                raise KerberosError(
                    "kinit gave no ticket for further tickets", evidence=listed, fix=_fix(self.principal, listed)
                )
            return Grant(content=cache.read_bytes(), expires_at=_seconds(ends[1]), identity=self.principal)

    def _run(self, tool: str, *words: str, secret: Secret | None = None) -> str:
        path = shutil.which(tool, path=self.environ.get("PATH"))
        if path is None:
            raise KerberosError(
                f"there is no {tool} to get a Kerberos ticket with",
                fix="Use septum's own image, or install MIT Kerberos: apt-get install krb5-user",
            )
        kept = {name: self.environ[name] for name in _KEPT if name in self.environ}
        done = None
        # Not `except`: the error that would be raised there leads to the frames that hold the password.
        with contextlib.suppress(subprocess.TimeoutExpired):
            done = subprocess.run(
                [path, *words],
                input=f"{secret.reveal()}\n" if secret else "",
                env={**kept, "LC_ALL": "C", "TZ": "UTC"},
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
                timeout=_DEADLINE_S,
                check=False,
                start_new_session=True,  # without a terminal, kinit asks on standard input
            )
        if done is None:
            raise IssuerUnavailableError(
                f"{tool} had no answer from the realm of {self.principal} within {_DEADLINE_S} s",
                fix="Try again later; if it never answers, check KRB5_CONFIG.",
            )
        if done.returncode == 0:
            return done.stdout
        said = _PROMPT.sub("", redact(done.stdout, self.password)).strip()
        del done  # it may quote the password
        if any(words in said for words in _UNREACHABLE):
            raise IssuerUnavailableError(
                f"no KDC of the realm of {self.principal} answers",
                evidence=said,
                fix="Try again later; if it never answers, check KRB5_CONFIG.",
            )
        raise KerberosError(
            f"{tool} gave no ticket for {self.principal}", evidence=said, fix=_fix(self.principal, said)
        )


def produce(program: str, ticket: Path | None, environ: Mapping[str, str]) -> bytes:
    """Make what a site wants to keep for its jobs.

    Args:
        program: The site's credential producer; empty for the ticket itself.
        ticket: The credential cache.
        environ: Gives `PATH` and `KRB5_CONFIG`.

    Raises:
        KerberosError: The program is not there, or failed.
    """
    if ticket is None:
        raise KerberosError(
            "the jobs shall have a Kerberos ticket, and there is none",
            fix="set 'authentication: kerberos' in the profile",
        )
    if not program:
        return ticket.read_bytes()
    kept = {name: environ[name] for name in _KEPT if name in environ}
    try:
        done = subprocess.run(
            [program],
            env={**kept, "KRB5CCNAME": f"FILE:{ticket}", "LC_ALL": "C"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_DEADLINE_S,
            check=True,
            start_new_session=True,
        )
    except OSError as error:
        problem = f"{program}: {(error.strerror or str(error)).lower()}"
    except subprocess.TimeoutExpired:
        problem = f"{program} had not ended after {_DEADLINE_S} s"
    except subprocess.CalledProcessError as error:
        words = error.stderr.decode("utf-8", "replace").strip() or "and no words"
        problem = f"{program} ended with exit code {error.returncode}: {words}"
    else:
        if done.stdout:
            KNOWN.add(done.stdout)
            return done.stdout
        problem = f"{program} wrote nothing"
    raise KerberosError(
        "there is no Kerberos credential for the jobs",
        evidence=problem,
        fix="Install the site's credential producer in the image of septum (septum-image), or switch "
        "'send-credential' off in the profile if the jobs need no ticket.",
    )


def _fix(principal: str, said: str) -> str:
    general = "Check the principal {}, its keytab or password in the CI variables, and krb5.conf (KRB5_CONFIG)."
    return next((fix for words, fix in _FIXES.items() if words in said), general).format(principal)


def _keytab_bytes(keytab: Secret) -> bytes:
    raw = keytab.reveal().encode("latin-1", "replace")
    if not raw.startswith(KEYTAB):
        try:
            raw = base64.b64decode(re.sub(rb"\s+", b"", raw), validate=True)
        except (binascii.Error, ValueError):
            raw = b""
    if raw.startswith(KEYTAB):
        KNOWN.add(raw)
        return raw
    del raw
    raise KerberosError(
        "the variable with the keytab holds no keytab", fix="Make it anew: base64 -w0 FILE.keytab, masked and hidden."
    )


def _seconds(date: str) -> float:
    year = "%Y" if len(date) == len("mm/dd/yyyy HH:MM:SS") else "%y"
    return dt.datetime.strptime(date, f"%m/%d/{year} %H:%M:%S").replace(tzinfo=dt.timezone.utc).timestamp()
