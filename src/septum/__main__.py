"""`python -m septum` and the command `septum`."""

import sys

_INTERRUPTED = 130
"""What a shell makes of a program that SIGINT ended."""


def main() -> int:
    """Run the command line; the exit code."""
    try:
        # Loading takes longest of all that a short command does: Ctrl-C in the middle of it is no mistake of septum.
        from septum.cli import run

        return run()
    except KeyboardInterrupt:
        return _INTERRUPTED


if __name__ == "__main__":
    sys.exit(main())
