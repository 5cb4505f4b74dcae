"""What is secret in a line is taken out, what is not stays, in lines as each service
writes them.
"""

from collections.abc import Sequence

import pytest
import re2

from infra.redaction import REDACTIONS, REPLACEMENT, Redaction

# Made up; built from parts, so that no scanner takes them for keys that work.
KEY = "s" + "k-proj-4f9Kd82mLqPz71XcVbNa"
AWS = "AK" + "IAQ7EXAMPLEZ5NVR3A"
GITHUB = "gh" + "p_A1b2C3d4E5f6G7h8I9j0K1l2M3n4"
SLACK = "xo" + "xb-123456789012-abcdefghijkl"
JWT = "ey" + "JhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.c2lnbmF0dXJlLWhlcmU"
GITLAB = "gl" + "pat-Zq7mT2xVb9LcR4nKw8Jh"
HUGGING_FACE = "h" + "f_AbCdEfGhIjKlMnOpQrStUvWxYz"
STRIPE = "s" + "k_live_4f9Kd82mLqPz71XcVb"
GOOGLE = "AI" + "zaSyD4iE2xVb9LcR4nKw8JhP3sDfG6yUe5A"
PASSWORD = "Zq7mT2xVb9LcR4nKw8JhP3sDfG6yUe5A"


def redact(line: str, redactions: Sequence[Redaction] = REDACTIONS) -> str:
    """As the collector does it: every expression in turn, every match, its group replaced."""
    for redaction in redactions:
        expression = re2.compile(redaction.expression)
        pieces, last = [], 0
        for match in expression.finditer(line):
            start, end = match.span(1)
            pieces += [line[last:start], REPLACEMENT]
            last = end
        line = "".join([*pieces, line[last:]])
    return line


LINES = {
    "postgres: a failed connection": (
        (
            "2026-11-21 07:00:00.123 UTC [42] LOG:  could not connect to"
            f" postgresql://app:{PASSWORD}@postgres:5432/app"
        ),
        PASSWORD,
    ),
    "postgres: a statement": (
        (
            "2026-11-21 07:00:00 UTC [1] postgres@app STATEMENT:  ALTER ROLE app PASSWORD"
            f" '{PASSWORD}';"
        ),
        PASSWORD,
    ),
    "postgres: a key-value connection string": (
        f"connection to host=postgres user=app password={PASSWORD} dbname=app failed",
        PASSWORD,
    ),
    "redis: a login in the monitor": (
        f'1700000000.123456 [0 172.18.0.3:5555] "AUTH" "app" "{PASSWORD}"',
        PASSWORD,
    ),
    "redis: a client's URL": (
        f"Error 111 connecting to redis://:{PASSWORD}@redis-cache:6379/0",
        PASSWORD,
    ),
    "minio: a signed URL": (
        (
            f"GET /documents/a.pdf?X-Amz-Algorithm=AWS4&X-Amz-Credential={AWS}%2F20261121"
            "&X-Amz-Signature=4f9d82aa71"
        ),
        "4f9d82aa71",
    ),
    "minio: an access key": (f"API: PutObject(bucket=documents) accessKey={AWS} denied", AWS),
    "minio: root's password": (f"MINIO_ROOT_PASSWORD={PASSWORD} is used", PASSWORD),
    "qdrant: a header": (
        f'actix_web::middleware::logger: "GET /collections" api-key: {PASSWORD}',
        PASSWORD,
    ),
    "clickhouse: a user": (
        f"<Debug> executeQuery: CREATE USER app IDENTIFIED WITH sha256_password BY '{PASSWORD}'",
        PASSWORD,
    ),
    "clickhouse: a table function": (
        f"SELECT * FROM s3('http://minio:9000/b/x', '{AWS}', 'x')",
        AWS,
    ),
    "litellm: a refused key": (
        (
            f'{{"message": "Authentication Error, Received API Key = {KEY}, key not found",'
            ' "level": "ERROR"}'
        ),
        KEY,
    ),
    "litellm: a header in a traceback": (
        f"httpx.HTTPStatusError: headers={{'Authorization': 'Bearer {PASSWORD}'}}",
        PASSWORD,
    ),
    "litellm: its master key": (f'"general_settings": {{"master_key": "sk-{PASSWORD}"}}', PASSWORD),
    "prometheus: basic authentication in a URL": (
        (
            'ts=2026-11-21T07:00:00Z level=error msg="Get'
            f' \\"http://admin:{PASSWORD}@prometheus:9090/\\""'
        ),
        PASSWORD,
    ),
    "alertmanager: Slack's address": (
        f'Post \\"https://hooks.slack.com/services/T00000000/B00000000/{PASSWORD}\\": timeout',
        PASSWORD,
    ),
    "grafana: a data source": (
        f'logger=datasources level=warn secureJsonData.basicAuthPassword="{PASSWORD}"',
        PASSWORD,
    ),
    "alloy: a header of a vendor": (
        f'level=error headers="map[Authorization:[Bearer {PASSWORD}]]"',
        PASSWORD,
    ),
    "an application: JSON": (
        f'{{"level":"info","client_secret":"{PASSWORD}","user":"ann"}}',
        PASSWORD,
    ),
    "an application: escaped JSON": (f'body="{{\\"password\\": \\"{PASSWORD}\\"}}"', PASSWORD),
    "an application: an apostrophe within escaped JSON": (
        'body="{\\"password\\": \\"it\'s-secret-abc\\"}"',
        "secret-abc",
    ),
    "an application: escaped single quotes": (
        "msg='connect(password=\\'secret-abc\\')'",
        "secret-abc",
    ),
    "an application: a flag": (f"starting worker --queue default --api-key {PASSWORD}", PASSWORD),
    "an application: the environment": (f"OPENAI_API_KEY={KEY} DEBUG=1", KEY),
    "an application: a token": (f"session for ann: {JWT}", JWT),
    "an application: a cookie": (f"Cookie: session={PASSWORD}; theme=dark", PASSWORD),
    "an application: a cookie that is not the first": (
        "Set-Cookie: theme=dark; sid=4f9d82aa71bc",
        "4f9d82aa71bc",
    ),
    "an application: a short login in a header": (
        "Proxy-Authorization: Basic YXBwOmh1bnRlcjI=",
        "YXBwOmh1bnRlcjI",
    ),
    "an application: a bearer outside its header": (
        "asked with bearer dG9rZW4tb2YtYW5u for ann",
        "dG9rZW4tb2YtYW5u",
    ),
    "an application: GitHub": (f"remote: https://github.com/x.git {GITHUB}", GITHUB),
    "an application: Slack": (f"posting with {SLACK}", SLACK),
    "an application: Google": (f"maps key {GOOGLE}", GOOGLE),
    "redis: a flag of its server": (f"redis-server --requirepass {PASSWORD} --port 6379", PASSWORD),
    "redis: a line of its configuration": (f"requirepass={PASSWORD}", PASSWORD),
    "an application: lower case": (f"dbpass={PASSWORD} DBPASS={PASSWORD}", PASSWORD),
    "an application: short flags": (f"openssl enc -pass {PASSWORD} --pwd {PASSWORD}", PASSWORD),
    "an application: a comma and a slash within quotes": (
        '{"pwd": "/S3cret,Pa55word", "db_pwd": "correct horse, battery"}',
        "Pa55word",
    ),
    "an application: words within quotes": (
        '{"user": "ann", "pwd": "correct horse, battery"}',
        "battery",
    ),
    "an application: a quote within a password": (
        '{"password": "it\'s-secret-abc", "user": "ann"}',
        "secret-abc",
    ),
    "an application: an escaped quote within a password": (
        r'{"password": "ab\"cdef-ghi"}',
        "cdef-ghi",
    ),
    "an application: a password in single quotes": (f"connect(password='{PASSWORD}')", PASSWORD),
    "an application: an at sign within a URL's password": (
        "could not reach postgresql://app:p@ssw0rd-x@db:5432/app",
        "ssw0rd-x",
    ),
    "an application: a number": ('{"pin": 1, "password": 12345678}', "12345678"),
    "an application: Go's data source name": (f"dial app:{PASSWORD}@tcp(mysql:3306)/app", PASSWORD),
    "an application: an authorization header without a scheme": (
        f"Authorization: {PASSWORD}",
        PASSWORD,
    ),
    "minio: a signed request": (
        (
            "Authorization: AWS4-HMAC-SHA256 Credential=x/20261121/us-east-1/s3/aws4_request,"
            " SignedHeaders=host, Signature=4f9d82aa71bc"
        ),
        "4f9d82aa71bc",
    ),
    "clickhouse: a header": (f"X-ClickHouse-User: app, X-ClickHouse-Key: {PASSWORD}", PASSWORD),
    "an application: Rails' key": (f"SECRET_KEY_BASE: {PASSWORD}", PASSWORD),
    "an application: camel case": (f"dbPass={PASSWORD}", PASSWORD),
    "an application: upper case": (f"DB_PASS={PASSWORD} SMTP_PWD={PASSWORD}", PASSWORD),
    "an application: keys of many names": (
        f"encryption_key={PASSWORD} signing-key: {PASSWORD}",
        PASSWORD,
    ),
    "an application: GitLab": (f"cloning with {GITLAB}", GITLAB),
    "an application: Hugging Face": (f"loading with {HUGGING_FACE}", HUGGING_FACE),
    "an application: Stripe": (f"charging with {STRIPE}", STRIPE),
    "an application: a private key": (
        f"-----BEGIN RSA PRIVATE KEY-----\n{PASSWORD}\n{PASSWORD}\n-----END RSA PRIVATE KEY-----",
        PASSWORD,
    ),
}

HARMLESS = (
    (
        "2026-11-21 07:00:00.123 UTC [42] app@app ERROR:  new row violates row-level security"
        ' policy for table "document_vectors"'
    ),
    (
        "2026-11-21 07:00:00.123 UTC [42] app@app FATAL:  password authentication failed for user"
        ' "app"'
    ),
    "1:M 21 Nov 2026 07:00:00.000 * Background append only file rewriting terminated with success",
    'INFO:     172.18.0.1:40000 - "POST /v1/chat/completions HTTP/1.1" 200 OK',
    '{"message": "prompt_tokens: 9, completion_tokens: 6, total_tokens: 15", "level": "INFO"}',
    (
        'level=info ts=2026-11-21T07:00:00Z caller=main.go:12 msg="Server is ready to receive web'
        ' requests."'
    ),
    "<Information> Application: Ready for connections.",
    "took 0.123 s, tokens per second 42, cache key answers/17",
    "https://docs.example.org/secrets/rotation#tokens explains it",
    "the task asked for a token bucket",
    "time-to-first-token 350ms, first-token latency=1.2s",
    "cd /srv && PWD=/srv/app OLDPWD=/root make",
    "cache bypass: true, compass: north, 12 passed, 0 failed",
    "GET http://shop:3000/users?mail=ann@example.org 200",
    '{"has_password": true, "token": null, "max_tokens": 4096}',
)


@pytest.mark.parametrize(("line", "secret"), LINES.values(), ids=LINES)
def test_what_is_secret_is_taken_out(line: str, secret: str) -> None:
    redacted = redact(line)
    assert REPLACEMENT in redacted
    assert secret not in redacted


@pytest.mark.parametrize("line", HARMLESS)
def test_what_is_not_secret_stays(line: str) -> None:
    assert redact(line) == line


@pytest.mark.parametrize("redaction", REDACTIONS, ids=lambda item: item.name)
def test_an_expression_is_one_that_the_collector_can_run(redaction: Redaction) -> None:
    """RE2 compiles it, and exactly one group says what is replaced: Alloy replaces every group."""
    assert re2.compile(redaction.expression).groups == 1


@pytest.mark.parametrize("redaction", REDACTIONS, ids=lambda item: item.name)
def test_every_expression_is_needed(redaction: Redaction) -> None:
    """Without it some line above would show its secret."""
    others = [item for item in REDACTIONS if item != redaction]
    assert [name for name, (line, secret) in LINES.items() if secret in redact(line, others)]


@pytest.mark.parametrize("line", [line for line, _ in LINES.values()], ids=LINES)
def test_twice_is_once(line: str) -> None:
    assert redact(redact(line)) == redact(line)
