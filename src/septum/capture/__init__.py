"""Frameworks that call `condor_submit` themselves: their calls are recorded, and become the parts of a plan."""
