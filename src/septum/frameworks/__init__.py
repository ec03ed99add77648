"""What septum knows of frameworks by name; all others say it in `septum.yaml`."""
