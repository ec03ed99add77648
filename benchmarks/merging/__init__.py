"""Measures merging: septum beside hadd and its rivals, on the same files, in turn."""
