"""Runs the pipeline of a repository on this machine, on a pool of its own in place of the clusters that it names."""
