"""`python -m septum` and the command `septum`."""

import sys

from septum.cli import run as main

if __name__ == "__main__":
    sys.exit(main())
