"""The commands: flags to what they run."""
