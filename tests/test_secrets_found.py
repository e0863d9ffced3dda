"""Secrets and passwords in URLs: found in what people write, and nothing else is touched."""

import pytest

from skill_plugin.errors import ConfigurationError, SkillPluginError
from skill_plugin.secrets_found import Redactor
from skill_plugin.url_passwords import masked

SECRETS = {
    "AKIA" + "QWERTYUIOPASDFGH": "key",
    "aws_secret_access_key = wJalrXUtnFEMI/K7MDENG/bPxRfiCYz7QPLE0KEY": "password",
    "ghp_" + "a1" * 18: "key",
    "sk-proj-" + "abcDEF123" * 4: "key",
    "xoxb-" + "1234567890-abcdef": "key",
    "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N": "jwt",
    "-----BEGIN RSA PRIVATE KEY-----\nMIIEow\n-----END RSA PRIVATE KEY-----": "private-key",
    "password: hunter2secret": "password",
    'DB_PASSWORD="correct-horse"': "password",
    '{"api_key": "abcdef12345"}': "password",
    "the password is S3cr3t!x": "password",
    "Cookie: session=abcdef1234567890; theme=dark": "cookie",
    "Authorization: Bearer abcdefghijklmnop1234": "bearer",
    "postgresql://user:pw12345@host/db": "password",
    "card 4111 1111 1111 1111": "card",
    "DE89 3704 0044 0532 0130 00": "iban",
}
PERSONAL = {"anna.smith@example.com": "email", "+49 170 1234567": "telephone"}
ORDINARY = [
    "The password is correct because it is long enough.",
    "password = read_password(prompt)",
    "def login(password: str) -> Token:",
    "secret: the ingredient is salt",
    "basic arithmetic operations; bearer of bad news",
    "order 1234567890123456 and 3.141592653589793",
    "sha256 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
    "https://example.com/a:b and skills:adding@2 at 10:30",
    "total 4999999999999999",
]


@pytest.mark.parametrize("text", SECRETS)
def test_a_secret_is_replaced_by_its_kind(text):
    found = Redactor().text(f"before {text} after")

    assert f"[redacted:{SECRETS[text]}]" in found
    assert found.startswith("before ")
    assert Redactor().text(found) == found


@pytest.mark.parametrize("text", PERSONAL)
def test_what_leads_to_a_person_is_replaced_where_all_is_wanted(text):
    assert Redactor().text(text) == text
    assert Redactor("all").text(f"mail {text} now") == f"mail [redacted:{PERSONAL[text]}] now"


@pytest.mark.parametrize("text", ORDINARY)
def test_what_is_not_a_secret_stays(text):
    assert Redactor("all").text(text) == text


def test_off_leaves_all_but_own_patterns():
    own = Redactor(what=False, patterns={"badge": r"B-\d{4}"})

    assert own.text("password: hunter2secret B-1234") == "password: hunter2secret [redacted:badge]"


def test_values_are_looked_through_and_a_name_says_that_a_value_is_secret():
    value = {"password": "plain", "n": 1, "list": ["ok", {"text": "key AKIAQWERTYUIOPASDFGH"}], "None": None}

    assert Redactor().value(value) == {
        "password": "[redacted:password]",
        "n": 1,
        "list": ["ok", {"text": "key [redacted:key]"}],
        "None": None,
    }


@pytest.mark.parametrize(("kind", "shape"), [("x", "("), ("x", "a*"), ("two words", "abc")])
def test_a_pattern_that_cannot_work_is_one_line(kind, shape):
    with pytest.raises(ConfigurationError) as caught:
        Redactor(patterns={kind: shape})
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "repeated", ["a", "-----BEGIN PRIVATE KEY-----", "password", "A1 ", "1", "x_", "a.", "cookie:", "+4 9", "eyJ"]
)
def test_no_text_takes_long(repeated):
    Redactor("all").text(repeated * (100_000 // len(repeated)))


@pytest.mark.parametrize(
    "url",
    [
        "postgres//u:PASSWORD@h/d",
        "postgresql:/u:PASSWORD@h",
        "postgres:u:PASSWORD@h/d",
        "postgresql://u:PASS@WORD/PASSWORD@h/d",
        "postgresql+psycopg://u@h/d?password=PASSWORD",
        "http://u:PASSWORD@chroma:8000",
    ],
)
def test_a_url_loses_its_password_however_it_is_mistyped(url):
    assert "PASSWORD" not in masked(f"the value {url!r} is wrong")
    assert "PASSWORD" not in str(SkillPluginError(f"the value {url!r} is wrong"))
    assert "***" in masked(url)
