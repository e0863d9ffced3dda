"""What agents and jobs record: rollouts, outcomes, revisions, and the runs of `evolve` and `retrain`."""
