"""Where a result comes from, and the proof of it: the stamp in a file, the origin of a run, the crate, the checks."""
