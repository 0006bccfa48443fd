"""The terminal UI: screens over snapshots, and keys that act."""
