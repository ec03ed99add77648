"""The process with HTCondor's bindings: what it must not take from its folder."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from septum.backends.htcondor.bindings import Bindings, CallError

pytest.importorskip("htcondor2")


@pytest.mark.parametrize("module", ["json", "base64", "classad2", "warnings"])
def test_modules_in_the_folder_are_not_imported(tmp_path: Path, module: str) -> None:
    """The folder is an artifact of `prepare`, which runs the user's code: nothing in it is run where the token is."""
    (tmp_path / f"{module}.py").write_text("import pathlib\npathlib.Path(__file__).with_name('run').touch()\n")
    environ = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "CONDOR_CONFIG": "ONLY_ENV"}
    bindings = Bindings(collector="localhost:1", schedd="nobody", environ=environ, folder=tmp_path, deadline_s=60)

    try:
        with pytest.raises(CallError, match=r"(?i)collector|locate|connect"):
            bindings.call("summary", constraint="true")
    finally:
        bindings.close()

    assert not (tmp_path / "run").exists()
