"""What releases septum: its locks, its wheel, the list of what is in it. Not part of the package."""
