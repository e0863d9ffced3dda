"""The Chroma index of skills, in a process of its own, and what keeps it equal to the tables."""
