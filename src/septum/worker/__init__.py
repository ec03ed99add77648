"""What runs on the worker, the files that go there and come back. The worker needs `sh`, `tar` and `sha256sum` only."""
