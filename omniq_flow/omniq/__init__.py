"""The face of OmniQ: its clients, consumer and monitor, by its names."""
