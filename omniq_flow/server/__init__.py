"""Our own Valkey, for a folder that has no Redis."""
