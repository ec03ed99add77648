"""From the verified outputs of the parts to results: the engine merges, an independent reader checks."""
