"""Views of a store for people: what a page shows, read with few statements that use indexes. Nothing here writes."""
