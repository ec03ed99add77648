"""REANA's own description of an analysis: written from a plan of septum, and read as the source of one."""
