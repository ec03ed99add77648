"""Masses of four leptons, of data or of a simulation."""

import random
import sys

sample, target = sys.argv[1:]
draw = random.Random(sample)
with open(target, "w", encoding="utf-8") as masses:
    masses.writelines(f"{draw.gauss(125, 2):.3f}\n" for _ in range(100))
