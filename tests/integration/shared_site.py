"""A pool, and a storage from which its jobs fetch what all parts share; and septum run where its bytes are counted.

The storage is an XRootD server, over HTTPS with the token that the pool gives to its jobs, and over its own protocol
with the proxy that HTCondor delegates, by a plugin as sites have it.
"""

from __future__ import annotations

import base64
import contextlib
import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from septum.manifest import NAME, from_json
from tests.faults.wire import start, wires
from tests.integration.test_upload_real import _start
from tests.workshop import SEPTUM, Repository, client_environment, pool_profile, write_root

if TYPE_CHECKING:
    from septum.facility import Facility
    from septum.facility.pool import Pool
    from septum.facility.xrootd import XRootD

SHARED_B = 2_000_000
_ANY = "https://wlcg.cern.ch/jwt/v1/any"
# As sites write it; the old form of the protocol, which takes one file.
_PLUGIN = """\
#!/bin/sh
if [ "$1" = -classad ]; then
    printf 'PluginVersion = "0.1"\\nPluginType = "FileTransfer"\\nSupportedMethods = "root"\\n'
    exit 0
fi
# HTCondor tells plugins of the proxy in the ad of the job alone.
X509_USER_PROXY=$(sed -n 's/^x509userproxy = "\\(.*\\)"$/\\1/p' "$_CONDOR_JOB_AD")
X509_CERT_DIR=/site/certificates
export X509_USER_PROXY X509_CERT_DIR
exec xrdcp --silent --force "$1" "$2"
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """A pool with a storage."""

    facility: Facility
    pool: Pool
    storage: XRootD
    token: str
    proxy: Path

    def profile(self, way: str, folder: str, **changes: Any) -> str:
        """The profile of the pool with a shared area, or without where `way` is `spool`."""
        port, path = self.storage.port, f"store/user/{folder}"
        areas = {
            "https": {
                "shared-area": f"https://localhost:{port}/{path}",
                "shared-read": f"cms+https://localhost:{port}/{path}",
                "job-tokens": "[cms]",
                "storage-audience": _ANY,
                "storage-scope": "['storage.read:/', 'storage.create:/store/user']",
            },
            "root": {"shared-area": f"root://localhost:{port}//{path}", "proxy": "required"},
            "spool": {},
        }
        return pool_profile(self.pool, self.facility, **{**areas[way], "shared-above": "1 kB", **changes})

    def repository(
        self, folder: Path, way: str, area: str, *, parts: int = 2, size_b: int = SHARED_B, **changes: Any
    ) -> Repository:
        """An analysis whose parts copy a shared file; the others of its inputs cannot be packed."""
        folder.mkdir(parents=True, exist_ok=True)
        if not (folder / "good.root").exists():
            write_root(folder / "good.root")
            (folder / "ballast.bin").write_bytes(os.urandom(size_b))
            rows = ", ".join(f"{{n: {number}}}" for number in range(parts))
            (folder / "septum.yaml").write_text(
                f"name: shared\ncommand: [cp, good.root, out.root]\nparts: {{list: [{rows}]}}\n"
                "inputs: [good.root, ballast.bin]\noutputs: [{path: out.root, objects: [mass]}]\n"
                "merge: {all.root: out.root}\n"
            )
        (folder / "clusters").mkdir(exist_ok=True)
        (folder / "clusters/pool.yaml").write_text(self.profile(way, area, **changes))
        environ = {
            "SEPTUM_CLUSTER": "pool",
            **client_environment(self.facility, "analysis-client"),
            "X509_CERT_DIR": self.facility.proxies.environment["X509_CERT_DIR"],
            "X509_PROXY": base64.b64encode(self.proxy.read_bytes()).decode(),
        }
        return Repository(folder=folder, environ=environ)

    def objects(self, folder: str) -> dict[str, Path]:
        """What stands in the area, by the name below the month."""
        base = self.storage.folder / "store/user" / folder
        return {path.name: path for path in base.rglob("*") if path.is_file()}


@contextlib.contextmanager
def open_site(facility: Facility, folder: Path, *, slots: int = 32) -> Iterator[Site]:
    """A pool that gives its jobs a token of a service `cms`, as a credential monitor would lay it down, and a storage.

    Args:
        facility: Has the issuer.
        folder: An empty one.
        slots: How many jobs may run at the same time.
    """
    storage = _start(facility, folder / "server")
    (storage.folder / "store/others").mkdir()
    token = facility.issuer.token("storage-client", scope="storage.read:/ wlcg")
    mine = folder / "tokens/cmscat"
    mine.mkdir(parents=True)
    for name, text in (("cms.use", token), ("cms.top", "{}")):
        (mine / name).write_text(text)
        (mine / name).chmod(0o600)
    (folder / "plugin").write_text(_PLUGIN)
    (folder / "plugin").chmod(0o755)
    config = [
        "SEC_CREDENTIAL_DIRECTORY_OAUTH = /site/tokens",
        "TRUST_CREDENTIAL_DIRECTORY = True",
        "FILETRANSFER_PLUGINS = $(FILETRANSFER_PLUGINS), /site/xrootd_plugin",
    ]
    mounts = {
        "/site/tokens": folder / "tokens",
        "/site/xrootd_plugin": folder / "plugin",
        "/site/certificates": Path(facility.proxies.environment["X509_CERT_DIR"]),
    }
    with facility.extra_pool("shared", config=config, slots=slots, read_only=mounts) as pool:
        proxy = facility.make_proxy(folder / "proxy.pem")
        try:
            yield Site(facility=facility, pool=pool, storage=storage, token=token, proxy=proxy)
        finally:
            storage.stop()


@dataclass(frozen=True, slots=True, kw_only=True)
class Counted:
    """A run, and what it sent: to the pool, and to the storage."""

    said: str
    code: int
    pool_b: int
    storage_b: int
    result: str


def counted(site: Site, repository: Repository, run: str, *, deadline_s: float = 120) -> Counted:
    """Run septum where nothing but pool, issuer and storage can be reached, over wires that count."""
    issuer = urlsplit(site.facility.issuer.url).port
    assert issuer is not None
    out = repository.folder / "said"
    with wires(int(site.pool.endpoint.collector.rpartition(":")[2]), issuer, site.storage.port) as ways:
        words = [str(SEPTUM), "run", "--cluster", "pool"]
        process = start(words, ways, cwd=repository.folder, env=repository.environment(SEPTUM_RUN=run), out=out)
        try:
            code = process.wait(deadline_s)
        except subprocess.TimeoutExpired:
            process.kill()
            code = process.wait()
        sent = [way.sent_b for way in ways]
    result = ""
    if code == 0:
        manifest = from_json((repository.result / NAME).read_text(encoding="utf-8"), name=NAME)
        result = manifest.results[0].sha256
    return Counted(said=out.read_text(), code=code, pool_b=sent[0], storage_b=sent[2], result=result)
