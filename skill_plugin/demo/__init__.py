"""The demonstration: a small business database, questions about it, and simulated models that answer them.

Everything that is called simulated here stands in for a language model, because a demonstration that runs offline has
no weights. The database, the SQL, the verdicts, the store, the graph and the gate are real.
"""
