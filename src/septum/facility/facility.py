"""The facility as a whole: an issuer and a pool that trust each other, proxies, Kerberos, storage and pipelines."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import platform
import shutil
import subprocess
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

from septum.facility import aptsource, cache, node, process
from septum.facility.certificates import create_authority
from septum.facility.condor_config import mapfile
from septum.facility.debian import USER, Debian, debian
from septum.facility.errors import FacilityError
from septum.facility.issuer import CLIENTS, Issuer, start_issuer
from septum.facility.kdc import REALM, Kdc, start_kdc
from septum.facility.pipeline import Library, Pipeline, prepare_pipeline
from septum.facility.pool import Endpoint, Pool, start_pool
from septum.facility.proxy import ProxyMaker, create_proxy_maker
from septum.facility.worker import worker_modules
from septum.facility.xrootd import XRootD, start_xrootd

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from types import TracebackType

    from typing_extensions import Self

    from septum.facility.certificates import Authority
    from septum.facility.issuer import Client

USERS = {
    "cmscat-client": USER,
    "reader-client": USER,
    "short-client": USER,
    "profileless-client": USER,
    "storage-client": USER,
    "twenty-seconds-client": USER,
    "analysis-client": USER,
    "post-client": USER,
    "key-client": USER,
}
"""Which client of the issuer is which account of the pool. One that is not here is refused by the pool."""

PRINCIPALS = {f"analyst@{REALM}": USER}
"""Which Kerberos principal is which account of a pool with Kerberos. One that is not here is refused by the pool."""

# Where the daemons of a pool with Kerberos find their keys and their map.
_KERBEROS = "/run/kerberos"
_KERBEROS_CONFIG = (
    "SEC_DEFAULT_AUTHENTICATION_METHODS = FS, KERBEROS, SCITOKENS, IDTOKENS",
    f"KERBEROS_SERVER_KEYTAB = {_KERBEROS}/keytab",
    f"KERBEROS_SERVER_PRINCIPAL = host/localhost@{REALM}",
    f"CERTIFICATE_MAPFILE = {_KERBEROS}/mapfile",
    # Who is not in the map stays somebody: the name before the @, in a domain with the name of the realm.
    f"DENY_WRITE = *@{REALM.lower()}",
)


def available() -> str | None:
    """Return why the facility cannot run on this machine, or `None` if it can, as far as one sees beforehand."""
    if platform.system() != "Linux":
        return f"needs Linux, this is {platform.system()}"
    missing = [name for name in ("apt-get", "apt-config", "dpkg-deb", "git", "unshare") if shutil.which(name) is None]
    if missing:
        return f"needs {', '.join(missing)}"
    try:
        aptsource.find_mirror()
        node.node()
    except FacilityError as err:
        return str(err).replace("\n", "; ")
    argv = ["unshare", "--user", "--map-root-user", "--mount", "--pid", "--fork", "--mount-proc", "true"]
    if subprocess.run(argv, capture_output=True, check=False, timeout=30).returncode != 0:
        return "needs user namespaces, which this kernel or container does not allow"
    return None


class Facility:
    """A running issuer and a running pool, as a context manager.

    Both end with the thread that enters the context, so enter it from one that lives long enough.
    """

    pool: Pool
    issuer: Issuer
    proxies: ProxyMaker

    def __init__(
        self,
        folder: Path | None = None,
        *,
        slots: int = 64,
        config: Sequence[str] = (),
        clients: Sequence[Client] = CLIENTS,
        users: Mapping[str, str] | None = None,
        read_only: Mapping[str, Path] | None = None,
        writable: Mapping[str, Path] | None = None,
    ) -> None:
        """Nothing is started yet.

        Args:
            folder: A new folder for all that is written; `None` for one that is removed at the end.
            slots: How many jobs may run at the same time.
            config: Lines for the end of HTCondor's configuration.
            clients: The clients registered with the issuer.
            users: Which client is which account of the pool; `None` for `USERS`.
            read_only: More folders to mount for the jobs: path inside, path outside.
            writable: The same, to write to.
        """
        self._given = folder
        self._slots = slots
        self._config = tuple(config)
        self._clients = tuple(clients)
        self._users = dict(USERS if users is None else users)
        self._read_only = dict(read_only or {})
        self._writable = dict(writable or {})
        self._stack = contextlib.ExitStack()
        self._authority: Authority
        self._kdc: Kdc | None = None
        self._storage: XRootD | None = None
        self._pipelines = 0

    def __enter__(self) -> Self:
        with ThreadPoolExecutor() as builders:
            # On a fresh machine these download; on others they return at once.
            modules = builders.submit(node.modules)
            with process.ending_threads():
                self._debian = builders.submit(debian).result()
                self._modules = worker_modules(self._debian)
                modules.result()
        with contextlib.ExitStack() as stack:
            self.folder = self._given or stack.enter_context(temporary_folder())
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._authority = create_authority(self.folder)
            self.issuer = start_issuer(self.folder / "issuer", authority=self._authority, clients=self._clients)
            stack.callback(self.issuer.stop)
            self.pool = self._start_pool("pool", self._slots, self._config)
            stack.callback(self.pool.stop)
            # While both are on their way up.
            self.proxies = create_proxy_maker(self.folder / "voms", debian=self._debian, authority=self._authority)
            self.issuer.wait_ready()
            self.pool.wait_ready()
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    @property
    def debian(self) -> Debian:
        """The unpacked Debian that all runs in, whose tools also run outside of it."""
        return self._debian

    @property
    def ca_file(self) -> Path:
        """The certificate of the authority behind the issuer and the pool."""
        return self._authority.file

    @property
    def endpoint(self) -> Endpoint:
        """What a client has to know to use the pool."""
        return self.pool.endpoint

    def make_proxy(self, out: Path, *, lifetime_s: int = 86400, voms_lifetime_s: int = 43200) -> Path:
        """Make a VOMS proxy; `proxies.make` has more to choose from.

        Args:
            out: The file.
            lifetime_s: How long the proxy's certificate lives from now; negative for one that has expired.
            voms_lifetime_s: The same for the VOMS attributes.
        """
        return self.proxies.make(out, lifetime_s=lifetime_s, voms_lifetime_s=voms_lifetime_s)

    def save(self) -> dict[str, Any]:
        """Return what another process needs to use this facility: paths and addresses, no secret."""
        sandbox = self.pool.sandbox
        return {
            "folder": str(self.folder),
            "debian": str(sandbox.debian.folder),
            "pool": str(sandbox.pool),
            "read_only": {inside: str(outside) for inside, outside in sandbox.read_only.items()},
            "writable": {inside: str(outside) for inside, outside in sandbox.writable.items()},
            "endpoint": {key: str(value) for key, value in dataclasses.asdict(self.endpoint).items()},
        }

    def pipeline(
        self,
        repository: Path,
        *,
        variables: Mapping[str, str] | None = None,
        files: Mapping[str, str] | None = None,
        library: Library | None = None,
        path: Sequence[Path] = (),
        project: str = "demo/analysis",
        environ: Mapping[str, str] | None = None,
        file: str = "",
    ) -> Pipeline:
        """Prepare the GitLab pipeline of a repository; see `prepare_pipeline`. Then `run` it.

        Args:
            repository: The repository, its working tree as it is.
            variables: CI/CD variables, secret or not.
            files: CI/CD variables of type file: the job gets the path of a file with this content.
            library: A project whose components the pipeline includes.
            path: Folders for the front of the jobs' PATH.
            project: The path of the repository on the pretended GitLab server.
            environ: More for the environment of the jobs.
            file: What is run in place of the repository's own `.gitlab-ci.yml`.
        """
        self._pipelines += 1
        return prepare_pipeline(
            repository,
            folder=self.folder / "pipelines" / str(self._pipelines),
            debian=self._debian,
            variables=variables,
            files=files,
            library=library,
            number=self._pipelines,
            path=path,
            project=project,
            environ=environ,
            file=file,
        )

    def kdc(self) -> Kdc:
        """Return the Kerberos realm, started at the first call, with the host `localhost` in it and nobody else.

        It ends with the facility, or with the thread that made the first call.
        """
        if self._kdc is None:
            kdc = start_kdc(self.folder / "kdc", debian=self._debian)
            self._stack.callback(kdc.stop)
            kdc.add_principal("host/localhost")
            kdc.wait_ready()
            self._kdc = kdc
        return self._kdc

    def storage(self) -> XRootD:
        """Return the XRootD server, started at the first call, for proxies of the VO and tokens of the issuer.

        It ends with the facility, or with the thread that made the first call.
        """
        if self._storage is None:
            self._storage = start_xrootd(
                self.folder / "xrootd",
                debian=self._debian,
                authority=self._authority,
                proxies=self.proxies,
                issuer=self.issuer.url,
            )
            self._stack.callback(self._storage.stop)
        self._storage.wait_ready()
        return self._storage

    @contextlib.contextmanager
    def kerberos_pool(
        self,
        name: str = "kerberos",
        *,
        principals: Mapping[str, str] | None = None,
        config: Sequence[str] = (),
        slots: int = 8,
    ) -> Iterator[Pool]:
        """Run a second pool beside the first that takes Kerberos tickets of `kdc()`, and tokens too.

        Args:
            name: Of its folder.
            principals: Which principal is which account of the pool; `None` for `PRINCIPALS`.
            config: Lines for the end of HTCondor's configuration.
            slots: How many jobs may run at the same time.
        """
        kdc = self.kdc()
        secret = self.folder / f"{name}-kerberos"
        secret.mkdir(mode=0o700)
        kdc.keytab("host/localhost", secret / "keytab")
        accounts = PRINCIPALS if principals is None else principals
        lines = "".join(f"KERBEROS {principal} {account}\n" for principal, account in accounts.items())
        (secret / "mapfile").write_text(mapfile(self._users, self.issuer.url) + lines, encoding="utf-8")
        mounts = {"/etc/krb5.conf": kdc.config, _KERBEROS: secret}
        with self.extra_pool(name, config=[*_KERBEROS_CONFIG, *config], slots=slots, read_only=mounts) as pool:
            yield pool

    @contextlib.contextmanager
    def extra_pool(
        self,
        name: str,
        *,
        config: Sequence[str] = (),
        slots: int = 8,
        read_only: Mapping[str, Path] | None = None,
    ) -> Iterator[Pool]:
        """Run a second pool beside the first, with the same issuer.

        Args:
            name: Of its folder.
            config: Lines for the end of HTCondor's configuration, such as `MAX_JOBS_PER_SUBMISSION = 100`.
            slots: How many jobs may run at the same time.
            read_only: More folders and files to mount: path inside, path outside.
        """
        pool = self._start_pool(name, slots, config, read_only)
        try:
            pool.wait_ready()
            yield pool
        finally:
            pool.stop()

    def _start_pool(
        self, name: str, slots: int, config: Sequence[str], read_only: Mapping[str, Path] | None = None
    ) -> Pool:
        return start_pool(
            self.folder / name,
            debian=self._debian,
            modules=self._modules,
            authority=self._authority,
            issuer=self.issuer.url,
            users=self._users,
            slots=slots,
            config=config,
            read_only={**self._read_only, **(read_only or {})},
            writable=self._writable,
        )


@contextlib.contextmanager
def temporary_folder(*, keep: bool = False) -> Iterator[Path]:
    """A folder in the cache that is removed at the end, or by the next one that begins when nobody could do it.

    Args:
        keep: Whether it stays.
    """
    _sweep()
    folder = Path(tempfile.mkdtemp(prefix="facility-", dir=cache.run_folder()))
    (folder / "owner").write_text(f"{os.getpid()} {process.started(os.getpid())}", encoding="ascii")
    try:
        yield folder
    finally:
        if keep:
            (folder / "owner").unlink()
        else:
            cache.remove_tree(folder)


def _sweep() -> None:
    """Remove the folders of facilities whose owner was killed and could not do it."""
    for owner in cache.run_folder().glob("facility-*/owner"):
        pid, _, started = owner.read_text(encoding="ascii").partition(" ")
        # Another process may do the same at this moment.
        if started and process.started(int(pid)) != started:
            with contextlib.suppress(OSError):
                cache.remove_tree(owner.parent)
