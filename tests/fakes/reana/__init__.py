"""A REANA server for tests: REANA's own description of its API, real Snakemake, and no containers.

    from tests.fakes.reana.handle import reana_server

    with reana_server(folder, slots=4) as server:
        …  # server.url, server.ca_file, server.token; server.requests(), server.fail_next(…), server.stop(), …

or by hand, from the top of the repository, which prints one line of JSON (url, ca_file, token, pid) and serves until
it is told to end:

    python -m tests.fakes.reana serve --folder FOLDER --port 0 --slots 4

What is real: the routes, parameters and answers are judged by the OpenAPI file in reana-commons (`description`); the
engine of Snakemake workflows is Snakemake 7.32.4 with an executor in place of its cluster one, which is how REANA 0.9
does it; a serial workflow is expanded by reana-commons. The engine of a run is a process of its own, and the server
looks at what it writes, so a server that is killed finds its runs again (`engine`, `jobs`, `store`).

What is not: there are no containers. A job is a process group in the workspace with an environment of its own, so an
image is written down and never pulled, memory limits are read and never enforced, and the compute backends differ by
name alone. Interactive sessions, GitLab, launching and sharing answer 501.
"""
