"""What a release pins: the hash of septum's wheel and the digest of its image, as `components/release.json` has them.

The file is not in the wheel, so the wheel's hash can stand in the components of the same commit. Before a release both
are null: such components name a version, and trust the index and the registry for the rest.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import asdict, dataclass
from pathlib import Path

import septum
from septum.errors import StateError

RELEASE = Path("components/release.json")
"""Where the pins stand, below the root of a checkout."""

_WHEEL = re.compile(r"[0-9a-f]{64}")
_IMAGE = re.compile(r"sha256:[0-9a-f]{64}")
_VERSION = re.compile(r"\d+\.\d+\.\d+(-[0-9A-Za-z.-]+)?")
_KEYS = {"version", "wheel", "image"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Pins:
    """The pins of one version.

    Attributes:
        version: Of package, components and image.
        wheel: SHA-256 of the wheel, 64 hexadecimal digits; None before the release.
        image: Digest of the image, `sha256:` and 64 digits; None before the release.
    """

    version: str
    wheel: str | None = None
    image: str | None = None

    @property
    def complete(self) -> bool:
        """Whether they are those of a release."""
        return self.wheel is not None

    @property
    def requirement(self) -> str:
        """The line for pip: the version, and the hash if there is one."""
        return f"septum=={self.version}" + (f" --hash=sha256:{self.wheel}" if self.wheel else "")

    def with_digest(self, image: str) -> str:
        """The image as GitLab gets it: `name:tag`, and `@sha256:…` if there is a digest."""
        return f"{image}@{self.image}" if self.image else image

    def as_json(self) -> str:
        """The file's text, one key a line, the same for the same pins."""
        return json.dumps(asdict(self), indent=2) + "\n"


def parse(text: str, where: str) -> Pins:
    """Pins from JSON.

    Args:
        text: What the file holds.
        where: Which file, for messages.

    Raises:
        StateError: It is not an object with exactly these keys and values, or pins one thing without the other.
    """
    fix = "take release.json from the artifacts of the pipeline that built wheel and image"
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise StateError(f"{where}: not JSON", evidence=str(error), fix=fix) from error
    if not isinstance(found, dict) or found.keys() != _KEYS:
        shown = ", ".join(sorted(map(repr, found)))[:200] if isinstance(found, dict) else type(found).__name__
        raise StateError(f"{where}: not an object with version, wheel and image", evidence=f"found: {shown}", fix=fix)
    if not _matches(_VERSION, found["version"]):
        raise StateError(f"{where}: {found['version']!r:.100} is no version", fix=fix)
    pinned = [key for key in ("wheel", "image") if found[key] is not None]
    wrong = [key for key in pinned if not _matches(_WHEEL if key == "wheel" else _IMAGE, found[key])]
    if wrong:
        raise StateError(f"{where}: {wrong[0]} is no SHA-256", evidence=f"{found[wrong[0]]!r:.100}", fix=fix)
    if len(pinned) == 1:
        raise StateError(f"{where}: only {pinned[0]} is pinned", fix=fix)
    return Pins(**found)


def read(root: Path) -> Pins:
    """The pins of a checkout.

    Args:
        root: Its root.

    Raises:
        StateError: The file is missing or damaged, or speaks of another version than the package.
    """
    try:
        text = (root / RELEASE).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise StateError(f"{RELEASE}: cannot be read", evidence=str(error), fix=f"git checkout {RELEASE}") from error
    pins = parse(text, RELEASE.as_posix())
    if pins.version != septum.__version__:
        raise StateError(
            f"{RELEASE}: the pins are those of version {pins.version}, the package is {septum.__version__}",
            fix=f"make open VERSION={septum.__version__}",
        )
    return pins


def of_wheel(wheel: Path, image: str | None) -> Pins:
    """The pins of a wheel that was built, and of the image that was built from it.

    Args:
        wheel: The file, `septum-VERSION-py3-none-any.whl`.
        image: The digest that the registry gave; None if the image was not built.

    Raises:
        StateError: The file has another name, or the digest is none.
    """
    named = re.fullmatch(r"septum-([^-]+)-py3-none-any\.whl", wheel.name)
    if not named or named[1] != septum.__version__:
        raise StateError(
            f"{wheel.name}: not the wheel of septum {septum.__version__}", fix="tools/wheel dist, in this checkout"
        )
    if image is not None and not _matches(_IMAGE, image):
        raise StateError(f"{image!r:.100} is no digest", fix="buildah push --digestfile FILE, and give what is in it")
    return Pins(version=named[1], wheel=hashlib.sha256(wheel.read_bytes()).hexdigest(), image=image)


def _matches(pattern: re.Pattern[str], value: object) -> bool:
    return isinstance(value, str) and pattern.fullmatch(value) is not None
