"""The passwords in URLs, however mistyped: no message and no log may spread them."""

import re

_URL_PASSWORD = re.compile(r"(?i)(?<![\w.+-])(?P<head>[a-z][a-z0-9+.-]*(?::/{0,3}|/{2,3})[^\s:/@]*):[^\s]*(?=@)")
_QUERY_PASSWORD = re.compile(r"(?i)(?<=[?&])(?P<name>(?:ssl)?pass(?:word|wd)?|pwd)=[^&\s'\"]*")


def masked(text: str) -> str:
    """Returns a text in which URLs have `***` for a password, also those that are mistyped: `postgres//u:secret@h/d`."""
    return _QUERY_PASSWORD.sub(r"\g<name>=***", _URL_PASSWORD.sub(r"\g<head>:***", text))
