// The analyser, which scram would build.
