"""The records of agents and jobs: rollouts, outcomes, revisions, and the runs of `evolve` and `retrain`."""
