"""The own merge engine for histograms and profiles: strict, exact, and free of any order. Needs numpy, and no ROOT.

`streamers`, `layout` and `axis` say where in an object's bytes the numbers that add up stand; `records` reads a file as
records; `exact` adds, and `witness` contradicts; `group` holds the parts of one structure, `accumulator` all of them;
`together` unites structures, with `labels` and `rewrite`; `writer` writes the result.
"""
