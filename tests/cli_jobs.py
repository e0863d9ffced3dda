"""`skill-plugin evolve` on a user's tasks and agent, for several test files."""

TASKS = [{"task": f"add {n} and 2", "reference": str(n + 2), "split": "train"} for n in (1, 2)]


AGENT = """
from langchain_core.runnables import RunnableLambda

def _add(given):
    numbers = [int(word) for word in given["task"].split() if word.isdigit()]
    return str(sum(numbers) - ("machine" not in given["guidance"]))

agent = RunnableLambda(_add)
"""


EVOLVE = ("evolve", "--verifier", "exact_match", "--agent", "agent_for_evolve:agent", "--embedder", "hashing")
