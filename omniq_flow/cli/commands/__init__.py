"""The verbs, one module a subject."""
