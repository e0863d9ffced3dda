"""The page without a browser: a client of the ASGI application, on the test's own store."""

import re

import pytest
from starlette.testclient import TestClient

from skill_plugin import Rollout, Task
from skill_plugin.integrations.page.app import page_app


class Page(TestClient):
    """Asks as a browser on this machine does, and reads the forms."""

    def text(self, path, code=200):
        answer = self.get(path)
        assert answer.status_code == code, answer.text
        return answer.text

    def form(self, path, action):
        """The hidden fields of the first form for an action."""
        for form in re.findall(r"<form method=\"post\".*?</form>", self.text(path), re.DOTALL):
            fields = dict(re.findall(r'type="hidden" name="([a-z_]+)" value="([^"]*)"', form))
            if fields.get("action") == action:
                return fields
        raise AssertionError(f"no form for {action} on {path}")

    def decide(self, path, action, reason="I have read it", **changes):
        form = self.form(path, action) | {"reason": reason} | changes.pop("other", {}) | changes
        return self.post("/decide", data=form, headers={"Origin": "http://127.0.0.1"}, follow_redirects=False)


@pytest.fixture
def open_page(store, home):
    clients = []

    def open_one(*, allow_write=True, of=None, **options):
        app = page_app(of or store, home, allow_write=allow_write, **options)
        clients.append(Page(app, base_url="http://127.0.0.1", raise_server_exceptions=False))
        return clients[-1]

    yield open_one
    for client in clients:
        client.close()


@pytest.fixture
def page(open_page):
    return open_page()


@pytest.fixture
def used(store, skill):
    """A skill that helped on eight tasks of one family, each done with it and without it."""
    for number in range(8):
        task = Task(f"add {number} and 1", family="sums", reference=str(number + 1))
        ran = {"model": "m", "input_tokens": 10, "output_tokens": 5}
        control = Rollout(generation=0, answer="?", arm="control", reward=0.0, passed=False, withheld=skill.ref, **ran)
        helped = Rollout(generation=0, answer="!", skill=skill.ref, reward=1.0, passed=True, feedback="right", **ran)
        store.runs.record(task, [control], run_id=f"without-{number}")
        store.runs.record(task, [helped], run_id=f"with-{number}", chosen=helped)
    return store.get(skill.id)
