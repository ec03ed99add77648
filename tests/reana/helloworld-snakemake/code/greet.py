"""Greets everybody in a list."""

import argparse
import time
from pathlib import Path

parser = argparse.ArgumentParser()
for name in ("inputfile", "outputfile", "sleeptime"):
    parser.add_argument(f"--{name}", required=True)
args = parser.parse_args()
Path(args.outputfile).parent.mkdir(exist_ok=True)
with Path(args.outputfile).open("w", encoding="utf-8") as greetings:
    for name in Path(args.inputfile).read_text(encoding="utf-8").split():
        greetings.write(f"Good morning, {name}.\n")
        time.sleep(float(args.sleeptime))
