"""Measures merging: septum beside hadd and its rivals, on the same files, in turn. Run by hand, never by the tests."""
