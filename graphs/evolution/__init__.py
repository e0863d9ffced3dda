"""The `evolve` job: lineages of texts, tried, judged by the gate and made live."""
