"""The exporter's NATS user as documented, on a server that denies everything else."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import nats
from nats.aio.client import Client
from pydantic import SecretStr

from exporter.config.options import Address
from exporter.sources.jetstream import Jetstream, JetstreamOptions
from servers.nats import Nats
from tests.privileges.documented import block

INBOX = "_INBOX_FLEET_EXPORTER"


def subjects_in(text: str) -> list[str]:
    """Every quoted string."""
    return re.findall(r'"([^"]+)"', text)


def allowed(permissions: str) -> list[str]:
    """The subjects of both `allow` lists."""
    lists = re.findall(r"allow: \[(.*?)\]", permissions, re.DOTALL)
    return [subject for one in lists for subject in subjects_in(re.sub(r"#.*", "", one))]


def without(permissions: str, subject: str) -> str:
    return permissions.replace(f'"{subject}"', '"nothing"', 1)


def with_loki(permissions: str) -> str:
    return permissions.replace('"$JS.API.INFO"', f'"$JS.API.INFO"\n{block("nats-loki")}', 1)


def configuration(users: dict[str, str], *more: str) -> str:
    """nats-server's own: one account with an unlimited user, the fleet, and those with these permissions."""
    named = "".join(f"{{ user: {name}, password: p, {permissions} }}\n" for name, permissions in users.items())
    top = "\n".join(more)
    return f"{top}\naccounts {{ A {{ jetstream: enabled, users: [ {{ user: fleet, password: p }}\n{named} ] }} }}"


def of(server: Nats, user: str) -> str:
    return server.url.replace("//", f"//{user}:p@")


def options(user: str) -> dict[str, object]:
    return {"user": user, "password": SecretStr("p"), "inbox_prefix": INBOX, "delete_consumers": False}


def refused(server: Nats, user: str) -> list[str]:
    """The subjects that the server has refused that user, by its own log."""
    log = server.process.log.read_text()
    return re.findall(rf'"A/user:{user}" - \w+ Violation - Subject "([^"]+)"', log)


def source(server: Nats, user: str, **more: object) -> Jetstream:
    return Jetstream(JetstreamOptions.model_validate({"url": (Address(server.url),), **options(user), **more}))


@asynccontextmanager
async def client_of(server: Nats, user: str) -> AsyncIterator[tuple[Client, list[str]]]:
    """A client of that user, and the permission errors that it received, in lower case."""
    violations: list[str] = []

    async def on_error(error: Exception) -> None:
        violations.append(str(error).lower())

    client = await nats.connect(of(server, user), inbox_prefix=INBOX, error_cb=on_error)
    try:
        yield client, violations
    finally:
        await client.close()
