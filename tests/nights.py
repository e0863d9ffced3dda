"""A night on a tiny real generator: one evolve and one retrain, as commands."""

from dataclasses import replace

from typer.testing import CliRunner

from skill_plugin.integrations.cli import app
from skill_plugin.tasks.files import write_tasks
from tiny_writer import LEARNS_IN_A_NIGHT, total_tasks

NIGHT = (
    "--agent", "tiny_writer:simulated_clerk", "--verifier", "tiny_writer:own_judge", "--gate", "paired", "--gate-tasks", "20",
    "--gate-candidates", "4", "--gate-most-candidates", "4", "--gate-rollouts", "1",
)  # fmt: skip
SETTINGS = [word for name, value in LEARNS_IN_A_NIGHT.items() for word in ("--set", f"{name}={value}")]
# Every text is a group of its own four, written from one task and judged by it: what so small a model can read and learn from.
SMALL = (
    "--candidates", "4", "--rollouts", "1", "--generations", "1", "--full-groups", "--minibatch", "1", "--credit", "skill-r1",
)  # fmt: skip


def variables(home, writer):
    """Of a command that works in `home`, on one thread: the model is too small for more."""
    return {
        "SKILL_PLUGIN_HOME": str(home),
        "SKILL_PLUGIN_EMBEDDER": "hashing",
        "SKILL_PLUGIN_GENERATOR": f"local:{writer}@live",
        "OMP_NUM_THREADS": "1",
        "COLUMNS": "250",
    }


def tasks_file(folder, name, numbers, heldout=()):
    # One family: that all invoices want cents is learned in a night, what each of three families wants is not.
    path, only = folder / f"{name}.jsonl", {"families": ["invoices"]}
    tasks = [*total_tasks(numbers, **only), *total_tasks(heldout, split="heldout", **only)]
    write_tasks(path, [replace(task, verifier=None) for task in tasks])
    return path


def evolving(tasks):
    # Nothing goes live: every lineage begins without a skill, and has something to learn.
    world = ("--agent", "tiny_writer:simulated_clerk", "--verifier", "tiny_writer:own_judge")
    return ("evolve", "--tasks", tasks, *world, "--gate-tasks", "0", *SMALL, "--json")


def run(command, home, writer):
    result = CliRunner().invoke(app, list(map(str, command)), env=variables(home, writer))
    assert result.exit_code == 0, result.output
    return result.stdout
