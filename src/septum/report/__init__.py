"""Shows a run and its results: a page with plots, GitLab's own reports, a summary, a note in the merge request.

Everything is made from the result folder alone: `septum.json`, the merged files, and what a comparison left there.
"""
