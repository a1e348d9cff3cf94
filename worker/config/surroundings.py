"""Variables that libraries read from the environment by themselves, and what each does in this program.

The settings are `worker.toml` and the `WORKER_...` variables. `worker doctor` and every worker process report any of
these that is set, because the person who set it may expect something else of it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache


@dataclass(frozen=True, slots=True)
class Surrounding:
    """Variables of other software with one meaning here."""

    names: tuple[str, ...]
    """Their names, in either case. `*` stands for any letters."""
    effect: str
    """What they do here. Begins with `ignored` or `in effect`."""

    def matches(self, variable: str) -> bool:
        """Returns whether it is about this variable."""
        return bool(_pattern(self.names).fullmatch(variable))


@cache
def _pattern(names: tuple[str, ...]) -> re.Pattern[str]:
    return re.compile("|".join(names).replace("*", r"\w+"), re.IGNORECASE)


SURROUNDINGS = (
    Surrounding(
        ("CELERY_BROKER_URL", "CELERY_BROKER_READ_URL", "CELERY_BROKER_WRITE_URL", "CELERY_BROKER", "BROKER_URL"),
        "ignored, because the broker is the one in the settings",
    ),
    Surrounding(
        ("CELERY_RESULT_BACKEND", "RESULT_BACKEND"), "ignored, because outcomes are in the outbox and nowhere else"
    ),
    Surrounding(
        ("CELERY_CONFIG_MODULE", "CELERY_CONFIG", "CONFIG_MODULE", "CELERY_LOADER", "LOADER"),
        "ignored, because Celery is set up by the settings alone",
    ),
    Surrounding(
        ("CELERY_APP", "CELERY_WORKDIR", "CELERY_QUIET", "CELERY_VERSION", "CELERY_NO_COLOR"),
        "in effect for the celery command, which takes it before this program runs",
    ),
    Surrounding(
        ("CELERY_WORKER_REVOKES_MAX", "CELERY_WORKER_REVOKE_EXPIRES"),
        "in effect for jobs that are revoked in Flower, of which Celery remembers no more than that",
    ),
    Surrounding(("CELERY_TRACE_APP", "C_STRICT_APP", "C_WARN_APP"), "in effect, and only for people who debug Celery"),
    # Celery sets these four itself.
    Surrounding(("CELERY_LOG_LEVEL", "CELERY_LOG_FILE", "CELERY_LOG_REDIRECT", "CELERY_LOG_REDIRECT_LEVEL"), ""),
    Surrounding(
        ("CELERY_*",), "ignored, because options of the celery command are typed and the rest is in the settings"
    ),
    Surrounding(
        ("KOMBU_LOG_DEBUG", "KOMBU_LOG_CHANNEL", "KOMBU_LOG_CONNECTION"),
        "in effect, and logs what is said to the broker",
    ),
    Surrounding(
        ("PYDANTIC_SETTINGS_DEBUG",),
        "in effect, and a log of level DEBUG may show what stands in WORKER_ variables, so unset it",
    ),
    Surrounding(("REMAP_SIGTERM",), "ignored, because SIGTERM always lets calls in flight end"),
    Surrounding(
        ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"),
        "ignored but for spans, because calls leave directly or by the proxy of their account",
    ),
    Surrounding(
        ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "NETRC"),
        "ignored but for spans, because what calls trust and send is in the settings",
    ),
    Surrounding(
        ("SSL_CERT_FILE", "SSL_CERT_DIR"),
        "in effect, and names the authorities that the system trusts, which is what TLS to the broker"
        ' and an account with ca = "system" go by',
    ),
    Surrounding(
        ("SSLKEYLOGFILE",),
        "in effect, and whoever reads that file can decrypt connections, so unset it when you have looked",
    ),
    Surrounding(
        ("OPENSSL_CONF", "OPENSSL_CONF_INCLUDE", "OPENSSL_MODULES", "OPENSSL_ENGINES"),
        "in effect, and changes which TLS versions and ciphers there are",
    ),
    Surrounding(
        ("PGAPPNAME", "PGCLIENTENCODING", "PGCONNECT_TIMEOUT", "PGHOSTADDR"),
        "ignored for PostgreSQL, because the database's URL and the worker say it",
    ),
    Surrounding(
        (
            "PGCHANNELBINDING",
            "PGDATABASE",
            "PGDATESTYLE",
            "PGGEQO",
            "PGGSSDELEGATION",
            "PGGSSENCMODE",
            "PGGSSLIB",
            "PGHOST",
            "PGKRBSRVNAME",
            "PGLOADBALANCEHOSTS",
            "PGMAXPROTOCOLVERSION",
            "PGMINPROTOCOLVERSION",
            "PGOPTIONS",
            "PGPORT",
            "PGREQUIREAUTH",
            "PGREQUIREPEER",
            "PGSERVICE",
            "PGSERVICEFILE",
            "PGSSLCERT",
            "PGSSLCERTMODE",
            "PGSSLCOMPRESSION",
            "PGSSLCRL",
            "PGSSLCRLDIR",
            "PGSSLKEY",
            "PGSSLMAXPROTOCOLVERSION",
            "PGSSLMINPROTOCOLVERSION",
            "PGSSLMODE",
            "PGSSLNEGOTIATION",
            "PGSSLROOTCERT",
            "PGSSLSNI",
            "PGSYSCONFDIR",
            "PGTARGETSESSIONATTRS",
            "PGTZ",
            "PGUSER",
        ),
        "in effect for PostgreSQL, where the database's URL does not say it",
    ),
    Surrounding(
        ("PSYCOPG_IMPL", "PSYCOPG_WAIT_FUNC"), "in effect for PostgreSQL, and this program was tested without it"
    ),
    Surrounding(("WEB_CONCURRENCY",), "ignored, because each server is one process"),
    Surrounding(("FORWARDED_ALLOW_IPS",), "ignored, because the settings name the proxies that are believed"),
    Surrounding(("FLOWER_UNAUTHENTICATED_API",), "in effect for Flower, whose API then asks for no login"),
    Surrounding(
        ("AUTHLIB_INSECURE_TRANSPORT",), "ignored, because a provider of sign-ins always has an https:// address"
    ),
    Surrounding(
        (
            *("PYTHONOPTIMIZE", "PYTHONWARNINGS", "PYTHONDEVMODE", "PYTHONINTMAXSTRDIGITS", "PYTHONINSPECT"),
            *("PYTHON_GIL", "PYTHON_JIT", "PYTHON_LAZY_IMPORTS"),
        ),
        "in effect, and this program was tested without it",
    ),
    Surrounding(
        (
            *("PYTHONASYNCIODEBUG", "PYTHONMALLOC", "PYTHONMALLOCSTATS", "PYTHONTRACEMALLOC"),
            *("PYTHONPROFILEIMPORTTIME", "PYTHONVERBOSE"),
        ),
        "in effect, and only for people who debug Python, as it costs speed",
    ),
)
"""Of a variable, the first that matches holds."""


def surprises(environ: Mapping[str, str]) -> Iterator[str]:
    """Yields a sentence for each variable that is set and does something else than its user may expect."""
    for name in sorted(name for name, value in environ.items() if value):
        first = next((one for one in SURROUNDINGS if one.matches(name)), None)
        if first and first.effect:
            yield f"{name}: {first.effect}"
