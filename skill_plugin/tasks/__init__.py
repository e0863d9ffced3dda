"""Tasks: their files, the order in which they are evolved, and the drawing of some of them."""
