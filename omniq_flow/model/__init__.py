"""Values without any I/O: states, jobs, plans, runs, names and time."""
