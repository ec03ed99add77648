"""Frameworks on HTCondor's Python bindings: a clear refusal, and a recording that is not taken for whole."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from septum.capture.lay import BINDINGS, lay
from septum.capture.recording import read
from septum.errors import CaptureError


def _framework(folder: Path, script: str) -> subprocess.CompletedProcess[str]:
    """Run Python where the framework would run, after a call of condor_submit that went well."""
    lay(folder / "recorder")
    (folder / "framework.py").write_text(script)
    shell = f"""
        . recorder/begin.sh
        printf 'executable = /bin/true\nqueue\n' | condor_submit || exit 9
        {sys.executable} framework.py
        echo "ended with $?"
        sh recorder/end.sh
    """
    environ = {"PATH": "/usr/bin:/bin", "SEPTUM_STATE": str(folder), "CI_PROJECT_DIR": str(folder)}
    return subprocess.run(
        ["sh", "-c", shell], cwd=folder, env=environ, capture_output=True, text=True, timeout=60, check=False
    )


@pytest.mark.parametrize("module", BINDINGS)
@pytest.mark.parametrize("use", ["import {0}; {0}.Submit('queue')", "from {0} import Schedd"])
def test_whoever_uses_them_is_told(module: str, use: str, tmp_path: Path) -> None:
    """And the recording is refused, whatever the framework makes of it."""
    done = _framework(tmp_path, use.format(module))

    assert "ended with 1" in done.stdout
    assert "Let the framework call condor_submit" in done.stderr
    assert done.returncode == 2
    with pytest.raises(CaptureError) as refused:
        read(tmp_path / "recording")
    assert module in str(refused.value)


def test_a_framework_that_passes_over_the_failure_is_refused_as_well(tmp_path: Path) -> None:
    """Most of them catch everything, and end with 0."""
    done = _framework(tmp_path, "try:\n    import htcondor\n    htcondor.Schedd()\nexcept Exception:\n    pass\n")

    assert "ended with 0" in done.stdout
    assert done.returncode == 2


_BARE = (
    f"env -i {sys.executable} -c 'import sys; sys.path.insert(0, sys.argv[1]); import htcondor; htcondor.Schedd()' "
    '"$PWD/recorder/python" || true'
)


@pytest.mark.parametrize(
    ("command", "code", "calls"),
    [
        ("printf 'executable = /bin/false\\nqueue\\n' | env -i PATH=\"$PATH\" condor_submit", 0, 2),
        ('env -i PATH="$PATH" condor_submit_dag x || true', 2, 0),
        (_BARE, 2, 0),
    ],
)  # fmt: skip
def test_a_call_with_an_environment_of_its_own_is_recorded(command: str, code: int, calls: int, tmp_path: Path) -> None:
    """Python's `subprocess` is often called so; the recorder knows its place."""
    lay(tmp_path / "recorder")
    shell = f"""
        . recorder/begin.sh
        printf 'executable = /bin/true\\nqueue\\n' | condor_submit || exit 9
        {command}
        sh recorder/end.sh
    """
    environ = {"PATH": "/usr/bin:/bin", "SEPTUM_STATE": str(tmp_path), "CI_PROJECT_DIR": str(tmp_path)}
    done = subprocess.run(
        ["sh", "-c", shell], cwd=tmp_path, env=environ, capture_output=True, text=True, timeout=60, check=False
    )

    assert done.returncode == code, done.stderr
    if calls:
        assert len(read(tmp_path / "recording")) == calls


def test_to_import_them_is_harmless(tmp_path: Path) -> None:
    """A framework may have them for another way of submitting."""
    done = _framework(tmp_path, "import htcondor, htcondor2\nprint(htcondor.__name__, htcondor2.__doc__[:6])\n")

    assert "htcondor Stands" in done.stdout
    assert done.returncode == 0, done.stderr
    assert len(read(tmp_path / "recording")) == 1
