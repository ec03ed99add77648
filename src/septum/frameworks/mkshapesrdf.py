"""mkShapesRDF: its script, what its jobs write, where its own merge looks, and what has to be put right. Pure.

Facts: github.com/latinos/mkShapesRDF, `shapeAnalysis/mkShapesRDF.py` and `BatchSubmission.py`, June 2026.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from septum.errors import CaptureError

NAME = "mkshapesrdf"
CONFIG = "config.json"
"""The readable form of the compiled configuration, in the folder of compiled configurations."""
_SPECIAL = "*_SPECIAL_NUIS*"
"""The objects that the merge takes away: it makes envelope, rms and square uncertainties of them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """Where mkShapesRDF has its files.

    Attributes:
        folder: Of `configuration.py`, relative to the repository.
        output_folder: What `outputFolder` names, relative to `folder`.
        output_file: What `outputFile` names: the merged file.
    """

    folder: str
    output_folder: str
    output_file: str

    @property
    def stem(self) -> str:
        """What the names of the outputs of all jobs begin with."""
        return f"{self.output_file.rpartition('.')[0]}__ALL__"

    @property
    def output(self) -> str:
        """The output of a job; `Folder` is the variable of the queue statement."""
        return self.stem + "{Folder}.root"

    def place(self, name: str) -> str:
        """Where the merge looks for a file, relative to the repository."""
        return _plain(f"{self.folder}/{self.output_folder}/{name}")


def _plain(path: str) -> str:
    return "/".join(part for part in path.split("/") if part not in {"", "."})


def script(folder: str, configs: str) -> list[str]:
    """The lines that compile the configuration and submit."""
    # -c 1 runs configuration.py of the current folder, whatever -f says.
    readable = shlex.quote(f"{configs}/{CONFIG}")
    return [
        f"cd -- {shlex.quote(folder)}",
        # It ends with 0 when it does not compile, and would submit what it compiled the last time.
        f"rm -f -- {readable}",
        f"mkShapesRDF -c 1 -configs {shlex.quote(configs)}",
        f"[ -s {readable} ] || {{ echo 'septum: mkShapesRDF did not compile: look above' >&2; exit 1; }}",
        f"mkShapesRDF -o 0 -b 1 -configs {shlex.quote(configs)}",
    ]


def merge_command(folder: str, configs: str) -> str:
    """The shell script of its own merge."""
    return f"cd -- {shlex.quote(folder)}\nmkShapesRDF -o 2 -configs {shlex.quote(configs)}"


def kept(folder: str, configs: str) -> str:
    """The folder that the merge needs from the compilation."""
    return _plain(f"{folder}/{configs}")


def layout(config_json: str, *, folder: str) -> Layout:
    """What the compiled configuration says.

    Args:
        config_json: The text of `config.json`.
        folder: Of `configuration.py`, relative to the repository.

    Raises:
        CaptureError: It does not say where the outputs go, or they go where no worker can write.
    """
    try:
        data: Mapping[str, Any] = json.loads(config_json)
        output_folder, output_file = str(data["outputFolder"]), str(data["outputFile"])
    except (ValueError, KeyError, TypeError) as error:
        raise CaptureError(
            f"mkShapesRDF: {CONFIG} does not say where the outputs go",
            evidence=f"{type(error).__name__}: {error}"[:200],
            fix="keep them: 'outputFolder' and 'outputFile' belong into varsToKeep of configuration.py",
        ) from error
    if output_folder.startswith("/") or ".." in PurePosixPath(output_folder).parts:
        raise CaptureError(
            f"mkShapesRDF: outputFolder is {output_folder[:100]!r}, which is not in the repository",
            fix="outputFolder = 'rootFiles' in configuration.py: septum brings the outputs back to it",
        )
    if not re.fullmatch(r"[\w.+=@-]+\.root", output_file):
        raise CaptureError(
            f"mkShapesRDF: outputFile is {output_file[:100]!r}, which is no name of a ROOT file",
            fix="outputFile = f'mkShapes__{tag}.root' in configuration.py",
        )
    return Layout(folder=folder, output_folder=output_folder, output_file=output_file)


def put_right(run_sh: str, layout_: Layout) -> tuple[str, str]:
    """Let a job leave its output in its working folder: the folder that run.sh names is that of the CI job.

    Returns:
        The script, and the line that was changed; an empty text if none was.

    Raises:
        CaptureError: The script does not write the output under the name that the merge looks for.
    """
    pattern = re.compile(r"(?<![\w./:-])(/[^\s;'\"]*/)(?=" + re.escape(layout_.stem) + r")")
    if layout_.stem not in run_sh:
        raise CaptureError(
            "mkShapesRDF: run.sh does not write the output that the merge looks for",
            evidence=f"no {layout_.stem}… in it",
            fix=f"let 'executable' of the jdl settings end with: cp output.root {layout_.stem}${{1}}.root",
        )
    changed = [line for line in run_sh.splitlines() if pattern.search(line)]
    return pattern.sub("", run_sh), changed[0].strip() if changed else ""


def merge_rule(layout_: Layout, configs: str) -> dict[str, Any]:
    """The rule of its merge, as `septum.yaml` would have it."""
    return {
        "output": layout_.output,
        "with": merge_command(layout_.folder, configs),
        "at": layout_.place(layout_.output),
        "product": layout_.place(layout_.output_file),
        "changes": [_SPECIAL],
    }
