"""Measures septum beside its rivals, in turn, on one machine. Run by hand, never by the tests."""
