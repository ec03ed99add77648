"""`python -m septum` and the command `septum`."""

import sys

from septum.cli import main

if __name__ == "__main__":
    sys.exit(main())
