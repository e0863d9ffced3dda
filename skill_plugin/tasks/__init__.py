"""Tasks: their files, in which order they are evolved, and how some of them are drawn."""
