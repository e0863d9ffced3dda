"""Looking at a store and at its index side by side."""

from itertools import count

from skill_plugin.store.index import outbox

_numbers = count()


def fill(store, *names):
    for name in names:
        store.add(name=name, description=f"How to {name}", body="Do it.")


def found(store, query="add"):
    return [(hit.name, hit.version) for hit in store.search(new(query), k=5, min_score=0.9, strategy="dense")]


def engine(store, query="add"):
    return store.search(new(query), k=1)[0].why["engine"]


def new(query):
    """The same to the embedder, and to the store a query that it has not answered yet."""
    return f"{query} {next(_numbers)}"


def pending(store):
    with store.database.read() as session:
        return outbox.pending(session, store.namespace)


def entries(store):
    return set(store._partition.index.ids(signature="topics"))
