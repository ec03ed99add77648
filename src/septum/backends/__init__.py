"""Where jobs run. Each backend meets the rest of septum in the one protocol of `septum.backends.base`."""
