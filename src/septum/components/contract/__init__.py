"""What users of the components rely on: as a value, its changes, and which version they ask for."""
