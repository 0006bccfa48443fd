"""Looking at queues and runs: snapshots."""
