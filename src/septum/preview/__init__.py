"""What GitLab would run: an interpreter of component headers, inputs and interpolation, without a server."""
