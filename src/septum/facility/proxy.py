"""Real X.509 proxies with VOMS attributes, made by VOMS's own tool, without a VOMS server."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from septum.facility import process
from septum.facility.certificates import Identity

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from septum.facility.certificates import Authority
    from septum.facility.debian import Debian

_VOMS_HOST = "voms.septum.test"
FQANS = ("/cms/Role=NULL/Capability=NULL", "/cms/uscms/Role=NULL/Capability=NULL")
_HOUR_S = 3600
_DAY_S = 24 * _HOUR_S


@dataclass(frozen=True)
class ProxyMaker:
    """A user, a VOMS host and the folders that say whom to trust. Create it with `create_proxy_maker`."""

    debian: Debian
    folder: Path

    @property
    def user(self) -> Identity:
        """The certificate that the proxies are made from."""
        return Identity(self.folder / "user.pem", self.folder / "user.key")

    @property
    def environment(self) -> dict[str, str]:
        """The variables with which VOMS's tools and HTCondor trust these proxies."""
        return {
            "X509_CERT_DIR": str(self.folder / "certificates"),
            "X509_VOMS_DIR": str(self.folder / "vomsdir"),
        }

    def make(
        self,
        out: Path,
        *,
        lifetime_s: int = _DAY_S,
        voms_lifetime_s: int = _DAY_S // 2,
        vo: str | None = "cms",
        fqans: Sequence[str] = FQANS,
        limited: bool = False,
    ) -> Path:
        """Make a proxy file with mode 0600.

        Args:
            out: The file.
            lifetime_s: How long the proxy's certificate lives from now; negative for one that has expired.
            voms_lifetime_s: The same for the VOMS attributes, which have a life of their own.
            vo: Virtual organisation; `None` for a proxy without VOMS attributes.
            fqans: Groups and roles, most important first.
            limited: Whether to make a limited proxy, as HTCondor does when it delegates.

        Returns:
            The file.

        Raises:
            FacilityError: VOMS's tool refused.
        """
        hours, past_s = _in_hours(lifetime_s)
        argv: list[str | Path] = [self.debian.tool("voms-proxy-fake"), "-quiet", "-rfc", "-bits", "2048"]
        argv += ["-cert", self.user.certificate, "-key", self.user.key, "-certdir", self.folder / "certificates"]
        argv += ["-hours", str(hours), "-pastproxy", str(past_s), "-out", out]
        if limited:
            argv += ["-limited"]
        if vo is not None:
            voms_hours, voms_past_s = _in_hours(voms_lifetime_s)
            argv += ["-newformat", "-hostcert", self.folder / f"{_VOMS_HOST}.pem"]
            argv += ["-hostkey", self.folder / f"{_VOMS_HOST}.key"]
            argv += ["-voms", vo, "-uri", f"{_VOMS_HOST}:15002"]
            argv += ["-vomslife", str(voms_hours), "-pastac", str(voms_past_s)]
            argv += [word for fqan in fqans for word in ("-fqan", fqan)]
        # It leaves a file `.rnd` in the home folder.
        env = {**self.environment, "HOME": str(self.folder), "OPENSSL_CONF": "/dev/null", "PATH": os.defpath}
        process.run(argv, what="make a VOMS proxy", timeout_s=60, env=env)
        out.chmod(0o600)
        return out

    def info(self, proxy: Path, *options: str) -> str:
        """Return what `voms-proxy-info` says about a proxy.

        Args:
            proxy: The file.
            *options: Such as `"-actimeleft"`; everything if there are none.
        """
        env = {**self.environment, "HOME": str(self.folder), "OPENSSL_CONF": "/dev/null", "PATH": os.defpath}
        argv: list[str | Path] = [self.debian.tool("voms-proxy-info"), "-file", proxy, *(options or ("-all",))]
        return process.run(argv, what="read a VOMS proxy", timeout_s=60, env=env, check=False).stdout


def create_proxy_maker(folder: Path, *, debian: Debian, authority: Authority, vo: str = "cms") -> ProxyMaker:
    """Create a user, a VOMS host and the folders that say whom to trust.

    Args:
        folder: A new folder.
        debian: Has VOMS's tools.
        authority: Signs both certificates.
        vo: The virtual organisation that the host speaks for.
    """
    certificates = folder / "certificates"
    vomsdir = folder / "vomsdir" / vo
    for path in (certificates, vomsdir):
        path.mkdir(mode=0o700, parents=True)
    digest = process.run(
        [debian.tool("openssl"), "x509", "-noout", "-subject_hash", "-in", authority.file],
        what="ask OpenSSL for the name of the CA file",
        timeout_s=30,
        env={"OPENSSL_CONF": "/dev/null", "PATH": os.defpath},
    ).stdout.strip()
    (certificates / f"{digest}.0").write_bytes(authority.file.read_bytes())
    (certificates / f"{digest}.signing_policy").write_text(
        f"access_id_CA X509 '{authority.subject}'\npos_rights globus CA:sign\n"
        "cond_subjects globus '\"/DC=test/DC=septum/*\"'\n",
        encoding="ascii",
    )
    authority.user(folder, "Robot - rehearsal")
    authority.host(folder, _VOMS_HOST)
    subject = f"/DC=test/DC=septum/OU=Hosts/CN={_VOMS_HOST}"
    (vomsdir / f"{_VOMS_HOST}.lsc").write_text(f"{subject}\n{authority.subject}\n", encoding="ascii")
    return ProxyMaker(debian, folder)


def _in_hours(lifetime_s: int) -> tuple[int, int]:
    """Return whole hours, and by how many seconds to move the start into the past: all that the tool understands."""
    hours = max(1, -(-lifetime_s // _HOUR_S))
    return hours, hours * _HOUR_S - lifetime_s
