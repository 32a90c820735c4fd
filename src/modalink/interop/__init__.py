"""Released checkpoints in, runs out: what other libraries saved becomes a run, and a run becomes what they load."""
