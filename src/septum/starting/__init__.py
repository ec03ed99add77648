"""New analysis repositories from the starter, and later starters merged into them.

`answers` and `versions` are pure; `source` finds the starter; `copying` and `merging` let copier and Git do the work.
"""
