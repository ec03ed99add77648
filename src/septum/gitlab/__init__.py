"""A project on GitLab as septum needs it: what is wanted, what is there, and the steps from one to the other.

`wanted`, `found` and `difference` are pure; `repository`, `values`, `door`, `observe` and `apply` touch the world.
"""
