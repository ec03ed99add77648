"""Writes files of a case with ROOT: `python -m benchmarks.merging.generate CASE NUMBER…`. See `cases.make`."""

from __future__ import annotations

import sys

from benchmarks.merging.cases import CASES, HERE


def main(name: str, numbers: list[int]) -> None:
    """Write these files; a file gets its name when it is whole."""
    import ROOT

    (case,) = (case for case in CASES if case.name == name)
    ROOT.gROOT.SetBatch(True)  # noqa: FBT003 - ROOT's signature
    ROOT.gInterpreter.Declare((HERE / "inputs.cpp").read_text())
    write = getattr(ROOT.septum_benchmarks, case.writer)
    files = case.files()
    for number in numbers:
        temporary = case.folder / f"new.{number}.root"
        write(str(temporary), number, case.compression, *case.sizes)
        temporary.replace(files[number])


if __name__ == "__main__":
    main(sys.argv[1], [int(text) for text in sys.argv[2:]])
