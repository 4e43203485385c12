"""The machine: devices, memory, files, locks, signals, compiled programs."""
