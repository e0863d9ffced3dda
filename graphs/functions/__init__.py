"""Functions of the skills of a run, for its agent: which are offered and why others are not, how they are called, what is kept of it."""
