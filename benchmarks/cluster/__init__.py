"""Measures whole runs on a real pool: septum beside other ways to submit, watch, fetch and merge."""
