"""Redaction of logs: expressions for passwords, keys and tokens in lines of any service.

Each has one group, which is replaced; everything around it stays, so that the line remains
readable. They are written for RE2, which Alloy uses: no look-around, no back-references.
"""

from dataclasses import dataclass

REPLACEMENT = "<redacted>"


@dataclass(frozen=True, slots=True)
class Redaction:
    """One kind of secret and the expression that finds it."""

    name: str
    expression: str


# A name that says "secret", however it is written: apiKey, API_KEY, "client-secret", dbPass, but
# not bypass.
_NAME = (
    r"(?:pass(?:word|wd|phrase)"
    r"|(?:(?-i:[a-z0-9]P)"
    r"|(?:^|[^A-Za-z]|require|db|user|admin|root|smtp|mail|redis|mysql|pg)p)ass"
    r"|secret|token|access[_-]?key[_-]?id|secret[_-]?key[_-]?base"
    r"|(?:api|access|secret|private|master|salt|encryption|signing|clickhouse)[_-]?key"
    r"|client[_-]?secret|credentials?|session[_-]?id|cookie)"
)
# In quotes, and as a flag, pwd is a password; without them it is a directory too.
_NAME_OR_PWD = rf"(?:{_NAME}|pwd)"

REDACTIONS: tuple[Redaction, ...] = (
    Redaction("private key", r"(?s)-----BEGIN [A-Z ]*PRIVATE KEY-----(.+?)(?:-----END|$)"),
    # postgresql://user:password@host, redis://:password@host
    Redaction("password in a URL", r"(?i)\b[a-z][a-z0-9+.-]*://[^\s:/@\"']*:([^\s/\"']+)@"),
    # user:password@tcp(host:3306)/database
    Redaction("password in a Go data source name", r"(?i)\b[\w.-]+:([^\s/\"']+)@(?:tcp|unix)\("),
    Redaction(
        "authorization header",
        r"(?i)\b(?:proxy-)?authorization[\"']?\s*[:=]\s*[\"'\[]*\s*"
        r"(?:bearer|basic|token|apikey|digest)\s+([^\s\"',\]}]+)",
    ),
    Redaction(
        "authorization header without a scheme",
        r"(?i)\bauthorization[\"']?\s*[:=]\s*[\"'\[]*\s*([^\s\"',\]}]{20,})",
    ),
    Redaction("signature of a request to S3", r"(?i)\baws4-hmac-sha256\s+([^\r\n\"']+)"),
    Redaction("bearer token", r"(?i)\bbearer\s+([A-Za-z0-9._~+/-]{8,}=*)"),
    Redaction("cookie header", r"(?i)\b(?:set-)?cookie[\"']?\s*:\s*[\"']?([^\r\n\"']+)"),
    # CREATE ROLE app PASSWORD 'x', IDENTIFIED BY 'x', AUTH user x
    Redaction(
        "password in SQL",
        r"(?i)\b(?:password|identified(?:\s+with\s+\w+)?\s+by)\s+E?'((?:[^']|'')+)'",
    ),
    Redaction(
        "password of a Redis login", r"(?i)\bauth\"?\s+\"?(?:[a-z0-9_-]+\"?\s+\"?)?([^\s\"]{16,})"
    ),
    # "password": "x" and password='x': up to the same quote, whatever stands between; or with
    # quotes that are escaped themselves
    Redaction(
        "value in double quotes of a secret's name",
        rf"(?i){_NAME_OR_PWD}[\"']?\s*[:=]\s*\"((?:[^\"\\]|\\.)+)",
    ),
    Redaction(
        "value in single quotes of a secret's name",
        rf"(?i){_NAME_OR_PWD}[\"']?\s*[:=]\s*'((?:[^'\\]|\\.)+)",
    ),
    Redaction(
        "value in escaped double quotes of a secret's name",
        rf"(?i){_NAME_OR_PWD}\\*[\"']?\s*[:=]\s*\\+\"([^\"\\]+)",
    ),
    Redaction(
        "value in escaped single quotes of a secret's name",
        rf"(?i){_NAME_OR_PWD}\\*[\"']?\s*[:=]\s*\\+'([^'\\]+)",
    ),
    Redaction("number of a secret's name", rf"(?i){_NAME}[\"']\s*:\s*(\d{{4,}})"),
    # password=x, token: x
    Redaction(
        "value of a secret's name", rf"(?i){_NAME}\s*[:=]\s*([^\s\"'\\,;&<>(){{}}\[\]]{{3,}})"
    ),
    Redaction(
        "value of pwd", r"(?i)pwd\s*[:=]\s*([^\s/\"'\\,;&<>(){}\[\]][^\s\"'\\,;&<>(){}\[\]]{2,})"
    ),
    Redaction("value of a flag", rf"(?i)(?:^|\s)--?(?:[a-z-]*{_NAME_OR_PWD}|pass)[= ]([^\s\"']+)"),
    Redaction(
        "secret in a signed URL",
        r"(?i)\bX-Amz-(?:Signature|Credential|Security-Token)=([^&\s\"']+)",
    ),
    # Keys that are known by their form, wherever they stand.
    Redaction("OpenAI, Anthropic, OpenRouter or LiteLLM key", r"\b(sk-[A-Za-z0-9_-]{16,})"),
    Redaction("AWS access key", r"\b((?:AKIA|ASIA)[A-Z0-9]{16})\b"),
    Redaction("GitHub token", r"\b(gh[pousr]_[A-Za-z0-9]{20,}|github_pat_[A-Za-z0-9_]{20,})"),
    Redaction("Slack token", r"\b(xox[abprs]-[A-Za-z0-9-]{10,})"),
    Redaction("Slack webhook", r"hooks\.slack\.com/(?:services|workflows)/([A-Za-z0-9/_-]+)"),
    Redaction("GitLab token", r"\b(glpat-[A-Za-z0-9_-]{16,})"),
    Redaction("Hugging Face token", r"\b(hf_[A-Za-z0-9]{20,})"),
    Redaction("Stripe key", r"\b([rs]k_(?:live|test)_[A-Za-z0-9]{10,})"),
    Redaction("Google key", r"\b(AIza[A-Za-z0-9_-]{30,})"),
    Redaction(
        "JSON web token", r"\b(eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}(?:\.[A-Za-z0-9_-]*)?)"
    ),
)
