"""Who may see the page, who may decide on it, and what a browser may do with it."""

import hashlib
import re
from pathlib import Path

from skill_plugin.integrations import page as package
from skill_plugin.integrations.page.guard import Keys

STATIC = Path(package.__file__).parent / "static"


def test_a_name_that_was_made_to_point_here_is_refused(page):
    for host in ("evil.example", "127.0.0.1.evil.example", "10.0.0.7", "", "["):
        assert page.get("/", headers={"Host": host}).status_code == 421
    for host in ("127.0.0.1:8766", "localhost:8766", "[::1]:8766"):
        assert page.get("/", headers={"Host": host}).status_code == 200


def test_a_decision_that_another_site_asks_for_is_refused(page, store, skill):
    form = page.form("/skills/adding", "retire") | {"reason": "x"}
    for headers in (
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:9999"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ):
        assert page.post("/decide", data=form, headers=headers).status_code == 403
    assert store.get(skill.id).status == "live"


def test_a_form_without_the_pages_token_is_refused(page, store, skill):
    for token in ("", "guessed"):
        assert page.decide("/skills/adding", "retire", token=token).status_code == 403
    assert store.get(skill.id).status == "live"


def test_every_answer_forbids_scripts_and_styles_of_others_and_inline_ones(page, used):
    for path in ("/", "/skills/adding", "/nowhere", "/static/page.js"):
        policy = page.get(path).headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert "http" not in policy
    text = page.text("/skills/adding")
    assert re.findall(r"<script(?! src=)|\sstyle=|\son[a-z]+=", text) == []
    assert set(re.findall(r"(?:src|href)=\"(https?:|//)", text)) == set()


def test_a_link_opens_the_page_once_and_the_cookie_from_then_on(open_page):
    told = []
    keys = Keys(told.append)
    mine, thief, second = (open_page(keys=keys) for _ in range(3))
    link = f"/inbox?token={keys.link}&page=1"
    assert mine.get("/").status_code == 401

    came = mine.get(link, follow_redirects=False)

    assert came.headers["location"] == "/inbox?page=1"
    cookie = came.headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=strict" in cookie
    assert mine.get("/").status_code == 200
    assert thief.get(link).status_code == 403
    assert thief.get("/", headers={"Cookie": "skill_plugin_page_80=guessed"}).status_code == 401
    assert second.get(f"/?token={told[0]}").status_code == 200


def test_behind_a_proxy_its_address_is_the_pages(open_page, store, skill):
    keys = Keys()
    page = open_page(keys=keys, url="https://skills.example")
    page.get(f"/?token={keys.link}")
    page.cookies.clear()
    page.base_url = "https://skills.example"
    came = page.get(f"/?token={keys.link}", follow_redirects=False)
    assert "secure" in came.headers["set-cookie"].lower()
    form = page.form("/skills/adding", "retire") | {"reason": "x"}

    assert page.post("/decide", data=form, headers={"Origin": "https://other.example"}).status_code == 403
    inside = {"Origin": "https://skills.example", "Host": "127.0.0.1:8766"}  # some proxies pass their own Host on
    assert page.post("/decide", data=form, headers=inside, follow_redirects=False).status_code in (303, 401)
    outside = {"Origin": "https://skills.example"}
    assert page.post("/decide", data=form, headers=outside, follow_redirects=False).status_code == 303
    assert store.get(skill.id).status == "retired"


def test_a_link_leads_to_no_other_host(open_page):
    keys = Keys()
    came = open_page(keys=keys).get(f"http://127.0.0.1//evil.example/?token={keys.link}", follow_redirects=False)

    assert came.headers["location"] == "/evil.example/"


def test_with_a_token_an_address_may_be_any_number_but_not_any_name(open_page):
    guarded = open_page(keys=Keys(), names=("agents.lan",))

    assert [
        guarded.get("/", headers={"Host": host}).status_code for host in ("10.0.0.7:1", "agents.lan", "evil.example")
    ] == [
        401,
        401,
        421,
    ]


def test_a_form_that_is_too_long_or_of_another_kind_is_refused(page, store, skill):
    assert "over 65,536 bytes" in page.decide("/skills/adding", "retire", reason="x" * 70_000).text
    assert "say it in 2,000" in page.decide("/skills/adding", "retire", reason="x" * 3000).text
    assert "comes as a form" in page.post("/decide", json={"action": "retire"}).text
    assert store.get(skill.id).status == "live"


def test_files_of_others_are_what_the_list_says():
    listed = dict(re.findall(r"^\| `([\w.]+)` .*`([0-9a-f]{64})`", (STATIC / "VENDORED.md").read_text(), re.MULTILINE))

    assert {name: hashlib.sha256((STATIC / name).read_bytes()).hexdigest() for name in listed} == listed
    assert {path.name for path in STATIC.iterdir()} - set(listed) == {"VENDORED.md", "mark.svg", "page.css", "page.js"}
