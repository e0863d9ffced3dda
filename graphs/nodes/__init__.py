"""The nodes of the loop, each for a graph of your own."""
