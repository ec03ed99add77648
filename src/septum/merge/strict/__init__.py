"""The own merge engine for histograms and profiles: strict, exact, and free of any order. Needs numpy, and no ROOT.

`streamers` and `layout` say where in an object's bytes the numbers that add up stand; `records` reads a file as
records; `exact` adds; `accumulator` brings them together; `writer` writes the result.
"""
