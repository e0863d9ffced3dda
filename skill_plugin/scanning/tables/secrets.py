"""Secrets and personal numbers. What looks like an example is not one."""

import re

from skill_plugin.scanning.findings import FindingVerdict
from skill_plugin.scanning.rules import Rule, RuleTable

_EXAMPLE = re.compile(
    r"(?i)example|sample|dummy|fake|placeholder|changeme|change[_-]me|replace|your|xxxx|\*\*\*|\.\.\.|abcdef|1234567|"
    r"0000000|foobar|redacted|test[_-]?(?:key|token|secret|pass)|<|insert|my[_-]?(?:secret|password|token|key|api)|hunter2$|"
    r"process\.env|os\.environ|getenv|secrets?\.|env\.|config\.|settings\.|self\.|https?:|^\d{1,4}$|todo|test-|secure|pass123|password|p@ss"
)
_KNOWN_CARDS = (
    "4242424242424242",
    "4111111111111111",
    "5555555555554444",
    "4000000000",
    "378282246310005",
    "4012888888881881",
)
_KNOWN_IBANS = (
    "DE89370400440532013000",
    "GB82WEST12345698765432",
    "GB29NWBK60161331926819",
    "FR1420041010050500013M02606",
)


def _key(found: str) -> FindingVerdict | None:
    return "note" if _EXAMPLE.search(found) or len(set(found[4:])) < 7 else "block"


def _in_address(found: str) -> FindingVerdict | None:
    return None if _EXAMPLE.search(found) or (len(found) <= 8 and found.isalpha()) else "hold"


def _password(found: str) -> FindingVerdict | None:
    return "hold" if _is_random(found, word=True) else None


def _token(found: str) -> FindingVerdict | None:
    return "hold" if _is_random(found, word=False) else None


def _card(found: str) -> FindingVerdict | None:
    digits = "".join(filter(str.isdigit, found))
    known = digits.startswith(_KNOWN_CARDS) or len(set(digits)) <= 3
    issuer = digits.startswith(("34", "37", "4", "51", "52", "53", "54", "55", "6011", "65"))
    return "hold" if 13 <= len(digits) <= 19 and issuer and not known and _luhn(digits) else None


def _is_random(value: str, *, word: bool) -> bool:
    """Returns whether a value is more likely a secret than a name or an example; a password is also random if it is short."""
    if _EXAMPLE.search(value) or len(set(value)) < 6:
        return False
    digits, upper, lower = (any(map(kind, value)) for kind in (str.isdigit, str.isupper, str.islower))
    signs = any(not one.isalnum() and one not in "_-./=:\\[]" for one in value)
    if word:
        return (
            digits
            and (upper or lower)
            and not any(one in value for one in "()[]/\\=.:")
            and (signs or (upper and lower))
        )
    if re.fullmatch(r"0x[0-9a-fA-F]+|[a-z-]+(?:-\d{4}){1,3}|[\d.-]+[a-z]*", value):
        return False
    return (
        digits
        and ((upper and lower) or re.fullmatch(r"[0-9a-f]{32,}|[A-Z0-9]{20,}", value) is not None)
        and sum(map(str.isdigit, value)) >= 3
        and value.count(".") < 4
        and value.count("_") < 4
        and value.count("-") < 6
    )


def _luhn(digits: str) -> bool:
    doubled = (int(one) * (1 + at % 2) for at, one in enumerate(reversed(digits)))
    return sum(one - 9 if one > 9 else one for one in doubled) % 10 == 0


def _iban(found: str) -> FindingVerdict | None:
    plain = "".join(found.split())
    moved = plain[4:] + plain[:4]
    sound = 15 <= len(plain) <= 34 and int("".join(str(int(one, 36)) for one in moved)) % 97 == 1
    return "hold" if sound and plain not in _KNOWN_IBANS else None


SECRETS = RuleTable(
    "secret",
    "visible",
    [
        Rule("AWS key", r"(?<![A-Za-z0-9])(?:AKIA|ASIA)[A-Z0-9]{16}(?![A-Za-z0-9])", "akia* asia*", "block", check=_key),
        Rule("AWS secret key", r"(?i:aws_?secret_?(?:access_?)?key|secretaccesskey)[\"']?\s{0,3}[=:]\s{0,3}[\"']?(?P<found>[A-Za-z0-9/+]{40})(?![A-Za-z0-9/+])", "aws* secretaccesskey*", "block", check=_key),
        Rule("GitHub token", r"gh[pousr]_[A-Za-z0-9]{36,255}|github_pat_\w{22,255}", "ghp_* gho_* ghu_* ghs_* ghr_* github_pat*", "block", check=_key),
        Rule("GitLab token", r"glpat-[\w-]{20,64}", "glpat-", "block", check=_key),
        Rule("API key", r"sk-(?<![\w-]sk-)(?:proj-|ant-|or-|svcacct-)?[A-Za-z0-9_-]{20,256}", "sk-", "block", check=_key),
        Rule("payment key", r"[sr]k_(?:live|test)_[A-Za-z0-9]{16,128}", "k_live_* k_test_*", "block", check=_key),
        Rule("Slack token", r"xox[abeoprs]-[A-Za-z0-9-]{10,128}|hooks\.slack\.com/services/T\w{6,16}/B\w{6,16}/\w{8,32}", "xox* hooks.slack", "block", check=_key),
        Rule("Google key", r"AIza[\w-]{35}|ya29\.[\w-]{20,255}", "aiza* ya29.", "block", check=_key),
        Rule("Hugging Face token", r"(?<![A-Za-z0-9])hf_[A-Za-z0-9]{30,64}", "hf_*", "block", check=_key),
        Rule("registry token", r"npm_[A-Za-z0-9]{36}(?!\w)|pypi-AgE[\w-]{20,255}", "npm_* pypi-", "block", check=_key),
        Rule("mail service key", r"SG\.[\w-]{16,64}\.[\w-]{16,64}", "sg.", "block", check=_key),
        Rule("telephone service key", r"(?:AC|SK)(?<![A-Za-z0-9]..)[0-9a-f]{32}(?![A-Za-z0-9])", "ac* sk*", "block", check=_key),
        Rule("cloud token", r"dop_v1_[0-9a-f]{64}|shp(?:at|ss)_[0-9a-fA-F]{32}", "dop_v1* shpat_* shpss_*", "block", check=_key),
        Rule("bot token", r"\d{8,10}:AA[\w-]{33}(?![\w-])", ":aa", "block", check=_key),
        Rule("bot token", r"[MN][A-Za-z\d]{23,25}\.[\w-]{6}\.[\w-]{27,38}", ".", "block", check=_key),
        Rule("signed token", r"eyJ[\w-]{10,1000}\.eyJ[\w-]{10,2000}\.[\w-]{10,1000}", "eyj*", "block", check=_key),
        Rule("private key", r"-----BEGIN (?:[A-Z]{2,10} ){0,3}PRIVATE KEY(?: BLOCK)?-----(?:\s{0,4}[A-Za-z0-9+/=:, -]{40,80}\s){2}", "private", "block"),
        Rule("storage key", r"AccountKey=[A-Za-z0-9+/]{40,100}={0,2}", "accountkey=", "block", check=_key),
        Rule("private key", r"-----BEGIN (?:[A-Z]{2,10} ){0,3}PRIVATE KEY(?: BLOCK)?-----", "private", "note"),
        Rule("password in an address", r"://(?<=[a-z]://)[^\s:/@<>{}$\"'`]{1,64}:(?P<found>[^\s/@<>{}$*\"'`]{3,128})@[\w.-]", "://", "hold", check=_in_address),
        Rule("password", r"[pPkKcCmM](?i:(?<=p)ass(?:word|wd|phrase|wort)?|(?<=p)wd|(?<=k)ennwort|(?<=c)ontrase[nñ]a|(?<=m)ot de passe)(?:\s(?i:is|ist|for \w{1,20} is))?[\"']?\s{0,3}[=:]?\s{0,3}[\"'`]?(?P<found>(?<=[=:\"'`\s])[^\s\"'`<>{}$|,;()]{8,64})", "pass* pwd* kennwort* contrase* mot", "hold", check=_password),
        Rule("token", r"[=:]\s{0,3}[\"'`]?(?P<found>[A-Za-z0-9_\-/+=.]{20,256})", "key* secret* token*", "hold", behind=r"(?i:api[_-]?key|secret(?:[_-]?key)?|token|access[_-]?key|auth[_-]?key)[\"']?\s{0,3}", check=_token),
        Rule("bearer token", r"[bB](?i:earer)\s(?P<found>[A-Za-z0-9._~+/=-]{20,512})", "bearer", "hold", check=_token),
        Rule("basic authorization", r"(?i:authorization)[\"']?\s?:\s?[\"']?(?i:basic)\s(?P<found>[A-Za-z0-9+/=]{12,256})", "basic", "hold", check=_token),
        Rule("cookie*", r"(?i:cookie)[\"']?\s?:\s?[\"']?(?:[\w.-]{1,40}=[^\s;\"']{1,200};?\s?){0,4}?[\w.-]{0,30}(?i:sess|sid|auth|token|id)\w{0,20}=(?P<found>[^\s;\"'<>{}$]{12,512})", "cookie*", "hold", check=_token),
        Rule("payment card", r"\d(?<![\w.-]\d)\d{3}[ -]?(?:\d{4}[ -]?){2}\d{1,7}(?![\w.-]?\d)", check=_card),
        Rule("bank account", r"[A-Z](?<![A-Za-z0-9][A-Z])[A-Z]\d{2}(?: ?[A-Z0-9]{4}){3,7}(?: ?[A-Z0-9]{1,3})?(?![A-Za-z0-9])", check=_iban),
    ],
    quoting="counts",
)  # fmt: skip
