"""The rules of the scanner (`skills.scan`): the views of a text that they read, the tables, and scanners of others."""
