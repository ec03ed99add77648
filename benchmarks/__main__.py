"""`python -m benchmarks SUBJECT …`: the front door of all benchmarks; `SUBJECT --help` says more."""

from __future__ import annotations

import importlib
import sys

SUBJECTS = ("merging", "cluster", "growth")


def main() -> None:
    """Hand on to a subject."""
    subject, *words = sys.argv[1:] or ["--help"]
    if subject not in SUBJECTS:
        raise SystemExit(f"python -m benchmarks {{{','.join(SUBJECTS)}}} …\n\n{__doc__}")
    importlib.import_module(f"benchmarks.{subject}.front").main(words)


if __name__ == "__main__":
    main()
