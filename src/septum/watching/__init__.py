"""A pipeline of GitLab seen from a laptop: how it stands, what its CI jobs told, cancelling it, retrying it.

`place`, `model`, `trace` and `lines` are pure; `door` asks GitLab; `watch` keeps what was learned; `acts` changes.
"""
