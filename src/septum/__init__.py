"""From a commit to one verified ROOT file: an analysis on a batch cluster, driven by GitLab CI."""

__version__ = "0.1.0"
