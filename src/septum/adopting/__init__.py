"""From a pipeline of shell lines to a proposal: `septum.yaml`, the include, and what replaces which line.

Nothing of the old pipeline is ever executed: its files are read as text.
"""
