"""Flows, pure: definition, wiring, levels, plan. Knows no Redis."""
