"""What is in a file."""

import sys

import uproot

source, target = sys.argv[1:]
with uproot.open(source) as file, open(target, "w", encoding="utf-8") as table:
    for name, item in sorted(file.items(cycle=False)):
        table.write(f"{name} {item.values().sum():.0f}\n")
