"""Faults from the field, each a test named by its id (docs/cases.md)."""
