"""MinIO (S3): buckets, lifecycle, policies and the application's own key are provisioned at every
deploy.
"""

import json
from collections.abc import Iterator
from dataclasses import replace

import jwt

from infra import sizing
from infra.refusal import Violation
from infra.secret import Secret
from infra.services import alloy, applications
from infra.services.context import AUTHORITY, OWN, Context, external_endpoint, limits, trust
from infra.services.definition import Contract, Definition, Stage
from infra.settings import Settings
from infra.settings.observability import Alloy, Loki
from infra.settings.stores import Bucket, Minio
from infra.spec import (
    CONFIG_DIR,
    Address,
    Endpoint,
    File,
    HealthCheck,
    Image,
    Job,
    Limits,
    Metrics,
    Port,
    Service,
    Store,
    Variable,
    Volume,
)
from infra.templating import render
from infra.units import MIB

NAME = "minio"
_ROOT_USER = "root"
_AUDIT = f"{CONFIG_DIR}/audit.env"
_CERTIFICATES = f"{CONFIG_DIR}/certs"
# 2100-01-01: Prometheus cannot renew a token, and a rotation of the root password ends it anyway.
_TOKEN_EXPIRY = 4102444800


def endpoint(context: Context) -> Endpoint:
    """The S3 endpoint with the application's own key."""
    settings = context.settings.of(Minio)
    if settings.external:
        return replace(external_endpoint(settings.external), bucket=settings.external.database)
    buckets = applications.current(context).buckets
    at = Endpoint(
        host=NAME,
        port=9000,
        network=NAME,
        username=context.application,
        password=context.secret(NAME, context.application),
        bucket=buckets[0].name if buckets else None,
    )
    return context.secured(at, settings)


def build(context: Context) -> Service:
    """MinIO with its buckets and the application's key."""
    settings = context.settings.of(Minio)
    image = context.image(NAME)
    # It also signs the metrics token with HMAC-SHA512, whose key should have 64 bytes.
    root_password = _root_password(context)
    # The name is part of the ciphertext's metadata: neither it nor the key may ever change.
    kms_key = Secret(f"groundwork:{context.keyring.key(NAME, 'encryption').reveal()}")
    server = "minio" if image.built else "silo"
    scheme = "https" if settings.tls else "http"
    certificates = tuple(_certificates(context))
    return Service(
        name=NAME,
        kind="s3",
        image=image,
        limits=limits(settings),
        # The fork's image has no directory for a fresh volume to take its owner from, so it stays
        # root (without any capability); ours has one.
        user="1000:0" if image.built else "0:0",
        entrypoint=(server,),
        command=(
            *("server", "/data", "--address", ":9000", "--console-address", ":9001"),
            *(("--certs-dir", _CERTIFICATES) if certificates else ()),
        ),
        env={
            "MINIO_ROOT_USER_FILE": f"{CONFIG_DIR}/root-user",
            "MINIO_ROOT_PASSWORD_FILE": f"{CONFIG_DIR}/root-password",
            "MINIO_KMS_SECRET_KEY_FILE": f"{CONFIG_DIR}/kms-key",
            "MINIO_KMS_AUTO_ENCRYPTION": "on",
            "GOMEMLIMIT": str(sizing.minio_memlimit(settings.memory)),
            "MINIO_MEMLIMIT": str(sizing.minio_memlimit(settings.memory)),
            # It looks for certificates below it, and makes the folder if there is none.
            "HOME": "/tmp",  # noqa: S108 - in its own container
            "MINIO_UPDATE": "off",
            "MINIO_CALLHOME_ENABLE": "off",
            **({"MINIO_CONFIG_ENV_FILE": _AUDIT} if alloy.takes_audit(context) else {}),
        },
        files=(
            File(path=f"{CONFIG_DIR}/root-user", content=_ROOT_USER),
            File(path=f"{CONFIG_DIR}/root-password", content=root_password),
            File(path=f"{CONFIG_DIR}/kms-key", content=kms_key),
            *_audit(context),
            *certificates,
        ),
        calls_back=(alloy.NAME,) if alloy.takes_audit(context) else (),
        volumes=(Volume(name="minio-data", path="/data", size=settings.disk),),
        ports=(
            Port(name="s3", container=9000, host=context.host_port(settings.port), scheme=scheme),
            Port(
                name="console",
                container=9001,
                host=context.host_port(settings.console_port),
                scheme=scheme,
            ),
        ),
        readiness=HealthCheck(command=_ready(image, scheme), timeout=10),
        stop_grace=30,
        jobs=(_provision(context, root_password),),
        metrics=(
            Metrics(
                port=9000,
                path="/minio/v2/metrics/cluster",
                bearer=_metrics_token(root_password),
                tls=settings.tls,
            ),
        ),
        checks={
            "buckets": ",".join(bucket.name for bucket in settings.buckets),
            "versioned": ",".join(bucket.name for bucket in settings.buckets if bucket.versioning),
            "private": ",".join(
                bucket.name for bucket in settings.buckets if bucket.policy == "private"
            ),
            "user": OWN,
            "tls": str(settings.tls).lower(),
        },
        credentials={
            "root": root_password,
            OWN: context.secret(NAME, OWN),
            "encryption": kms_key,
        },
    )


def _ready(image: Image, scheme: str) -> tuple[str, ...]:
    url = f"{scheme}://127.0.0.1:9000"
    if not image.built:
        return ("silo", "healthcheck", *(("--url", url) if scheme == "https" else ()), "ready")
    trusted = ("--ca-certificate", f"{_CERTIFICATES}/CAs/ca.crt") if scheme == "https" else ()
    return ("wget", "-q", *trusted, "-O", "/dev/null", f"{url}/minio/health/ready")


def _certificates(context: Context) -> Iterator[File]:
    """Under the names that MinIO looks for in its folder: its own certificate if clients must use
    TLS; the authority's if it serves TLS or sends its audit by it.
    """
    settings = context.settings.of(Minio)
    if settings.tls:
        issued = context.certificate(NAME, settings)
        yield File(path=f"{_CERTIFICATES}/public.crt", content=issued.certificate)
        yield File(path=f"{_CERTIFICATES}/private.key", content=issued.key)
    if settings.tls or (alloy.takes_audit(context) and alloy.audit_endpoint(context).tls):
        yield File(path=f"{_CERTIFICATES}/CAs/ca.crt", content=context.authority.certificate)


def _audit(context: Context) -> Iterator[File]:
    """Where each request is told; the token stands in a file, as every secret does."""
    if alloy.takes_audit(context):
        at = alloy.audit_endpoint(context)
        token = at.password.reveal() if at.password else ""
        variables = {
            "ENABLE": "on",
            "ENDPOINT": at.url("http") + alloy.AUDIT_PATH,
            "AUTH_TOKEN": f"Bearer {token}",
        }
        lines = [f"MINIO_AUDIT_WEBHOOK_{key}_LOG={value}\n" for key, value in variables.items()]
        yield File(path=_AUDIT, content=Secret("".join(lines)))


def _validate(stack: Settings) -> Iterator[Violation]:
    settings, collector = stack.of(Minio), stack.of(Alloy)
    kept = stack.of(Loki).enabled or collector.forward_logs
    if settings.deployed and settings.audit and not (collector.enabled and kept):
        yield Violation(
            key="groundwork:minio.audit",
            reason="the requests go by way of Alloy to Loki, and this stack keeps no logs",
            fix="enable Alloy and Loki, or set alloy.forwardLogs, or turn the audit off",
        )


def _provision(context: Context, root_password: Secret) -> Job:
    every = applications.every(context.settings)
    at = endpoint(context)
    return Job(
        name="minio-provision",
        user="1000:0",
        # Each admin call derives a key with Argon2id, which takes 64 MiB by itself.
        limits=Limits(memory=256 * MIB, cpus=0.5),
        # The client keeps its aliases in a directory; /tmp is the one place a job may write to.
        env={
            "MC_CONFIG_DIR": "/tmp/mc",  # noqa: S108 - inside its own container
            "MC_DISABLE_PAGER": "1",
        },
        script=render(
            "minio/provision.sh.j2",
            config_dir=CONFIG_DIR,
            authority=AUTHORITY if at.tls else None,
            buckets=[_rules(bucket) for item in every for bucket in item.buckets],
            users=[item.name for item in every],
        ),
        files=(
            File(path=f"{CONFIG_DIR}/root-user", content=_ROOT_USER),
            File(path=f"{CONFIG_DIR}/root-password", content=root_password),
            *trust(at),
            *(
                File(
                    path=f"{CONFIG_DIR}/{item.name}-password",
                    content=context.secret(NAME, item.name),
                )
                for item in every
            ),
            *(
                File(
                    path=f"{CONFIG_DIR}/{item.name}-policy.json",
                    content=_application_policy(item.buckets),
                )
                for item in every
            ),
        ),
    )


def _metrics_token(root_password: Secret) -> Secret:
    """A token that can only read metrics, as `mc admin prometheus generate` prints it."""
    claims = {"sub": _ROOT_USER, "iss": "prometheus", "exp": _TOKEN_EXPIRY}
    return Secret(jwt.encode(claims, root_password.reveal(), algorithm="HS512"))


def _rules(bucket: Bucket) -> dict[str, object]:
    rules: list[str] = []
    if bucket.expire_after is not None:
        rules.append(f"--expire-days {bucket.expire_after // 86400}")
    if bucket.versioning and bucket.expire_noncurrent_after is not None:
        rules.append(f"--noncurrent-expire-days {bucket.expire_noncurrent_after // 86400}")
    return {
        "name": bucket.name,
        "versioning": bucket.versioning,
        "policy": bucket.policy,
        "rules": rules,
    }


def _application_policy(buckets: tuple[Bucket, ...]) -> str:
    """Read and write in the declared buckets, and nothing else. Earlier versions may be read but
    not deleted.
    """
    arns = [f"arn:aws:s3:::{bucket.name}" for bucket in buckets]
    statements = [
        {
            "Effect": "Allow",
            "Action": [
                "s3:GetBucketLocation",
                "s3:GetBucketVersioning",
                "s3:ListBucket",
                "s3:ListBucketVersions",
                "s3:ListBucketMultipartUploads",
            ],
            "Resource": arns,
        },
        {
            "Effect": "Allow",
            "Action": [
                "s3:GetObject",
                "s3:GetObjectVersion",
                "s3:PutObject",
                "s3:DeleteObject",
                "s3:AbortMultipartUpload",
                "s3:ListMultipartUploadParts",
                "s3:GetObjectTagging",
                "s3:PutObjectTagging",
            ],
            "Resource": [f"{arn}/*" for arn in arns],
        },
        # MinIO takes the right to delete an object for one to delete its versions too, unless that
        # is denied.
        {
            "Effect": "Deny",
            "Action": ["s3:DeleteObjectVersion"],
            "Resource": [f"{arn}/*" for arn in arns],
        },
    ]
    if not arns:
        statements = [{"Effect": "Deny", "Action": ["s3:*"], "Resource": ["arn:aws:s3:::*"]}]
    return json.dumps({"Version": "2012-10-17", "Statement": statements}, indent=2)


def _root_password(context: Context) -> Secret:
    return context.secret(NAME, "root", length=64)


def _environment(context: Context) -> Contract:
    at = endpoint(context)
    yield Address("S3_ENDPOINT", at, NAME, "s3", at.template("http"))
    yield Variable("S3_ACCESS_KEY_ID", at.username or "")
    yield Variable("S3_SECRET_ACCESS_KEY", at.password or "")
    yield Variable("S3_BUCKET", at.bucket or "")
    yield Variable("S3_REGION", "us-east-1")


def _administration(context: Context) -> Contract:
    if context.settings.of(Minio).deployed:
        yield Variable("MINIO_ROOT_PASSWORD", _root_password(context))


def _notes(context: Context) -> Iterator[str]:
    if context.image(NAME).built:
        yield (
            "MinIO's last upstream state has two open CVEs (2026-40344, 2026-41145: unsigned"
            " writes): keep it on loopback."
        )


def _stores(context: Context) -> Iterator[Store]:
    root = replace(endpoint(context), username=_ROOT_USER, password=_root_password(context))
    yield Store(name=NAME, kind="minio", at=root)


DEFINITION = Definition(
    name=NAME,
    stage=Stage.STORE,
    settings=Minio,
    description="S3-compatible object storage.",
    image=NAME,
    build=lambda context, _: [build(context)],
    external_needs=("username", "password", "database"),
    exposable=True,
    validate=_validate,
    environment=_environment,
    administration=_administration,
    stores=_stores,
    notes=_notes,
)
