"""The image of an analysis: what it is built of, whether the registry has it, and what the building CI job needs."""
