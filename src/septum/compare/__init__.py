"""Compares merged results with a reference: what is identical, what is rounding, what is statistics, what differs."""
