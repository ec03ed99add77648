"""`make sbom`: the list of what a release consists of, as CycloneDX 1.6 in JSON: `python3 -m tools.sbom WHEEL OUTPUT`.

From the wheel alone: its own hash, and the locks inside of it, with the hashes of every file that pip may install and
which package asks for which. No clock, no machine: one wheel gives the same bytes. The operating system of the image is
not in it.
"""

from __future__ import annotations

import argparse
import hashlib
import sys
import uuid
import zipfile
from email.parser import Parser
from pathlib import Path

from cyclonedx.model import ExternalReference, ExternalReferenceType, HashAlgorithm, HashType, Property, XsUri
from cyclonedx.model.bom import Bom, BomMetaData
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.model.license import DisjunctiveLicense
from cyclonedx.output.json import JsonV1Dot6
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from packageurl import PackageURL

from tools.lockfile import Locked, read_lock

_SOURCE = "https://gitlab.cern.ch/cms-analysis/general/septum"


def describe(wheel: Path) -> str:
    """The list for one wheel, as JSON that CycloneDX's own schema accepts.

    Args:
        wheel: The file.

    Raises:
        ValueError: It has no lock, or the list is not valid.
    """
    with zipfile.ZipFile(wheel) as archive:
        names = {name.rpartition("/")[2]: name for name in archive.namelist()}
        if not {"lock.txt", "lock-root.txt", "METADATA"} <= names.keys():
            raise ValueError(f"{wheel.name}: not a wheel of septum with its locks")
        plain, root = (read_lock(archive.read(names[key]).decode()) for key in ("lock.txt", "lock-root.txt"))
        metadata = Parser().parsestr(archive.read(names["METADATA"]).decode())
    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
    bom = _bom(metadata["Name"], metadata["Version"], digest, plain, root)
    text: str = JsonV1Dot6(bom).output_as_string(indent=2) + "\n"
    if (problem := JsonStrictValidator(SchemaVersion.V1_6).validate_str(text)) is not None:
        raise ValueError(f"{wheel.name}: the list is not valid: {problem}")
    return text


def _bom(name: str, version: str, digest: str, plain: tuple[Locked, ...], root: tuple[Locked, ...]) -> Bom:
    septum = Component(
        name=name,
        version=version,
        type=ComponentType.APPLICATION,
        bom_ref=f"pkg:pypi/{name}@{version}",
        purl=PackageURL("pypi", None, name, version),
        hashes=[HashType(alg=HashAlgorithm.SHA_256, content=digest)],
        licenses=[DisjunctiveLicense(id="Apache-2.0")],
        external_references=[ExternalReference(type=ExternalReferenceType.VCS, url=XsUri(_SOURCE))],
    )
    components = [
        *((item, _component(item, "")) for item in plain),
        *((item, _component(item, "root")) for item in root),
    ]
    # A number that says which list it is: of this wheel, and of no other.
    serial = uuid.uuid5(uuid.NAMESPACE_URL, f"{_SOURCE}#sha256:{digest}")
    bom = Bom(metadata=BomMetaData(component=septum), components=[made for _, made in components], serial_number=serial)
    bom.metadata.timestamp = None  # type: ignore[assignment]
    for parent_name, parent in [(name, septum), *((item.name, made) for item, made in components)]:
        bom.register_dependency(parent, [made for item, made in components if parent_name in item.via])
    return bom


def _component(item: Locked, extra: str) -> Component:
    properties = {"septum:marker": item.marker, "septum:extra": extra}
    return Component(
        name=item.name,
        version=item.version,
        type=ComponentType.LIBRARY,
        bom_ref=f"pkg:pypi/{item.name}@{item.version}",
        purl=PackageURL("pypi", None, item.name, item.version),
        # One version is several files, one for each kind of machine: a `distribution` has them all.
        external_references=[
            ExternalReference(
                type=ExternalReferenceType.DISTRIBUTION,
                url=XsUri(f"pkg:pypi/{item.name}@{item.version}"),
                comment="every file of this version that may be installed",
                hashes=[HashType(alg=HashAlgorithm.SHA_256, content=value) for value in item.hashes],
            )
        ],
        properties=[Property(name=key, value=value) for key, value in properties.items() if value],
    )


def main(arguments: list[str] | None = None) -> int:
    """Write the list of a wheel; the exit code."""
    parser = argparse.ArgumentParser(prog="python3 -m tools.sbom", description=__doc__)
    parser.add_argument("wheel", type=Path)
    parser.add_argument("output", type=Path)
    args = parser.parse_args(arguments)
    try:
        text = describe(args.wheel)
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        sys.stderr.write(f"sbom: {error}\n")
        return 2
    args.output.write_text(text, encoding="utf-8")
    sys.stdout.write(f"wrote {args.output}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
