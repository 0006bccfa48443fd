"""One module a screen: what it wants to know, how it shows it, what its keys do."""
