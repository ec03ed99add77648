"""Images of containers: what a name means, what each side calls it, and which one a registry or CVMFS has under it."""
