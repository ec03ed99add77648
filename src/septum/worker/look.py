"""The little program that a worker runs over each ROOT output, where its image has Python and numpy.

It is septum's own strict reader, packed into one file: it prints the hash of what the output holds, and collect
compares that with what it reads itself of the file that arrived. Deterministic: the same septum packs the same bytes.
"""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Mapping
from importlib.resources import files

NAME = "septum-look.pyz"
# What the reader imports, and nothing else of septum: each job is sent a copy of it. A test follows the imports.
_READER = ("axis", "buffer", "codecs", "contents", "layout", "records", "shape", "skeleton", "streamers")
# The errors that it raises are in these modules; the package itself would import all others.
_RAISED = ("jobs", "merge")
_ERRORS = "".join(f"from septum.errors.{name} import *\n" for name in _RAISED)
_MODULES = (
    "__init__.py",
    *(f"errors/{name}.py" for name in ("base", *_RAISED)),
    "merge/__init__.py",
    "merge/strict/__init__.py",
    *(f"merge/strict/{name}.py" for name in _READER),
)
_DATE = (1980, 1, 1, 0, 0, 0)
# numpy first: an image without it costs a job no more than the start of its Python.
_MAIN = """import numpy

import json
import sys
from pathlib import Path
from zipfile import ZipFile

from septum.merge.strict.contents import Reader, kinds_in, knows

policies = json.loads(ZipFile(sys.argv[0]).read("policies.json"))
path = Path(sys.argv[1])
if knows(kinds_in(path)):
    print(Reader(policies).read(path, name=path.name).digest)
"""


def program(policies: Mapping[str, str]) -> bytes:
    """The program: an archive that `python3` runs with the path of a file.

    Args:
        policies: The relaxed policies of the merge, which decide what is read.
    """
    package = files("septum")
    members = {f"septum/{name}": package.joinpath(name).read_bytes() for name in _MODULES}
    members["septum/errors/__init__.py"] = _ERRORS.encode()
    members["__main__.py"] = _MAIN.encode()
    members["policies.json"] = json.dumps(dict(sorted(policies.items()))).encode()
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(zipfile.ZipInfo(name, _DATE), data, zipfile.ZIP_DEFLATED)
    return made.getvalue()
