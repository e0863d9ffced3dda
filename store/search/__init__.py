"""Finding skills for a task: words, vectors, past tasks, and how they are weighed."""
