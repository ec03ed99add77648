"""A headless Chromium for the tests, without root and without a download of its own: npm packages that carry it inside.

The folder in the cache is separate from that of the facility, so that neither is built again for the other.
"""

from __future__ import annotations

import json
import os
import platform
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from septum.facility import cache, process
from septum.facility.node import node, node_folder

_HERE = Path(__file__).parent
_LOCK = ("package.json", "package-lock.json")
_PACKED = ("chromium", "al2023.tar", "fonts.tar")
_RECIPE = 1
# Brotli is not in Python's library, and it is in Node's.
_UNPACK = """
const [, from, to] = process.argv;
const fs = require("fs"), zlib = require("zlib");
require("stream").pipeline(fs.createReadStream(from), zlib.createBrotliDecompress(), fs.createWriteStream(to),
  (error) => { if (error) { console.error(error.message); process.exit(1); } });
"""
_FONTS = """<?xml version="1.0"?>
<!DOCTYPE fontconfig SYSTEM "fonts.dtd">
<fontconfig>
<dir prefix="relative">fonts</dir><dir>/usr/share/fonts</dir><cachedir prefix="xdg">fontconfig</cachedir>
</fontconfig>
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Visit:
    """What to look at: a page at a width in a colour scheme, and what to do there."""

    url: str
    width: int
    scheme: str = "light"
    media: str | None = None
    javascript: bool = True
    axe: bool = True
    keys: Sequence[str] = ()
    script: str | None = None
    screenshot: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What was there: messages of the console, requests, what axe found, how far the page is too wide."""

    console: list[str]
    requests: list[str]
    axe: list[dict[str, Any]]
    passes: int
    overflow: int
    focus: list[dict[str, str]] = field(default_factory=list)
    answer: Any = None


def unavailable() -> str:
    """Why this machine cannot have the browser; empty if it can."""
    machine = (platform.system(), platform.machine())
    return "" if machine == ("Linux", "x86_64") else f"the browser is packed for Linux on x86_64, not for {machine}"


def folder() -> Path:
    """The folder with the browser and the modules; installed if need be."""
    texts = [(_HERE / name).read_text(encoding="utf-8") for name in _LOCK]
    return cache.build_once(cache.entry_name("browser", [_RECIPE, _FONTS, *texts]), _install)


def _install(target: Path) -> None:
    for name in _LOCK:
        shutil.copyfile(_HERE / name, target / name)
    npm = node_folder() / "lib/node_modules/npm/bin/npm-cli.js"
    process.run(
        [node(), npm, "ci", "--omit=optional", "--ignore-scripts", "--no-audit", "--no-fund"],
        what="install the browser of the tests with npm",
        timeout_s=600,
        fix="check that npm reaches its registry, then try again",
        env={**os.environ, "npm_config_update_notifier": "false", "npm_config_fetch_retries": "3"},
        cwd=target,
    )
    packed = target / "node_modules/@sparticuz/chromium/bin"
    for name in _PACKED:
        command: list[str | Path] = [node(), "-e", _UNPACK, packed / f"{name}.br", target / name]
        process.run(command, what=f"unpack {name}", timeout_s=120)
        if name.endswith(".tar"):
            process.run(["tar", "-xf", target / name, "-C", target], what=f"unpack {name}", timeout_s=60)
            (target / name).unlink()
    (target / "chromium").chmod(0o755)
    (target / "fonts.conf").write_text(_FONTS, encoding="utf-8")
    # What is unpacked is not needed twice.
    cache.remove_tree(packed)


def look(visits: Sequence[Visit], *, timeout_s: float = 150) -> list[Seen]:
    """Visit pages, all with one browser."""
    place = folder()
    libraries = {"LD_LIBRARY_PATH": str(place / "lib"), "FONTCONFIG_FILE": str(place / "fonts.conf")}
    done = process.run(
        [node(), _HERE / "look.mjs", place / "node_modules", place / "chromium"],
        what="look at pages with Chromium",
        timeout_s=timeout_s,
        env={**os.environ, **libraries},
        stdin=json.dumps([asdict(visit) for visit in visits]),
    )
    return [Seen(**answer) for answer in json.loads(done.stdout)]
