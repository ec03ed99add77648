"""Where the starter is: beside this package in a wheel, at the top of a checkout; and what copier wants, a version."""

from __future__ import annotations

import shutil
from importlib import metadata
from pathlib import Path

import septum
from septum.errors import StarterError
from septum.starting import gitting

CONFIG = "copier.yml"
FOLDER = "starter"
_PACKAGE = Path(septum.__file__).parent
_IN_WHEEL = _PACKAGE / "starter"
_IN_CHECKOUT = _PACKAGE.parents[1]


def starter_root() -> Path:
    """The folder with `copier.yml` and, beside it, the folder `starter`.

    Raises:
        StarterError: This installation has none.
    """
    for folder in (_IN_WHEEL, _IN_CHECKOUT):
        if (folder / CONFIG).is_file() and (folder / FOLDER).is_dir():
            return folder
    raise StarterError(
        "new: this installation of septum has no starter",
        evidence=f"looked for {CONFIG} in {_IN_WHEEL} and {_IN_CHECKOUT}",
        fix=pip_install("laptop", septum.__version__, anew=True),
    )


def pip_install(extras: str, version: str, *, anew: bool = False) -> str:
    """The command that installs a version of septum from its repository; on public registries it is not.

    Args:
        extras: With what beside it.
        version: Its tag.
        anew: Whether it may be there already, damaged.
    """
    try:
        where = f" @ git+{address()}@{version}"
    except StarterError:
        where = f"=={version}"
    return f"python3 -m pip install {'--force-reinstall ' if anew else ''}'septum[{extras}]{where}'"


def address() -> str:
    """The public address of septum's repository, as Git clones it: what the package itself says.

    Raises:
        StarterError: The package says none.
    """
    try:
        urls = metadata.metadata("septum").get_all("Project-URL") or []
    except metadata.PackageNotFoundError:
        urls = []
    for url in urls:
        name, _, where = str(url).partition(",")
        if name.strip() == "Source":
            return f"{where.strip().removesuffix('.git')}.git"
    raise StarterError(
        "new: septum is not installed as a package, so it does not know where it is from",
        fix="python3 -m pip install 'septum[laptop]'",
    )


def as_repository(folder: Path, *, root: Path | None = None, version: str = septum.__version__) -> Path:
    """Make a Git repository of the starter, with one tag: its version.

    Args:
        folder: A new folder.
        root: What has `copier.yml` and `starter`; that of this septum by default.
        version: The tag.

    Returns:
        The folder.

    Raises:
        StarterError: There is no starter, or no Git.
    """
    root = root or starter_root()
    folder.mkdir(parents=True)
    shutil.copyfile(root / CONFIG, folder / CONFIG)
    shutil.copytree(root / FOLDER, folder / FOLDER, ignore=shutil.ignore_patterns("__pycache__", "*.pyc"))
    gitting.commit_all(folder, message=f"The starter of septum {version}", tag=version)
    return folder
