"""An operator, an account and a user of NATS's decentralised authentication, made for one test."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import time
from pathlib import Path
from typing import Any, NamedTuple

import nkeys


class Key(NamedTuple):
    seed: bytes
    public: str


def key(prefix: int) -> Key:
    """A key pair: an operator's, an account's or a user's by its prefix (nkeys.PREFIX_BYTE_…)."""
    seed = nkeys.encode_seed(os.urandom(32), prefix)
    return Key(seed, nkeys.from_seed(bytearray(seed)).public_key.decode())


def _encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _signed(issuer: Key, subject: str, name: str, claims: dict[str, Any]) -> str:
    body = {"iat": int(time.time()), "iss": issuer.public, "sub": subject, "name": name, "nats": claims | {"version": 2}}
    digest = hashlib.sha256(json.dumps(body).encode()).digest()
    body["jti"] = base64.b32encode(digest).decode().rstrip("=")
    head = _encoded(json.dumps({"typ": "JWT", "alg": "ed25519-nkey"}).encode())
    text = f"{head}.{_encoded(json.dumps(body).encode())}"
    return f"{text}.{_encoded(nkeys.from_seed(bytearray(issuer.seed)).sign(text.encode()))}"


def operator_configuration(credentials: Path, tiers: dict[str, dict[str, int]] | None = None) -> str:
    """nats-server's configuration for an operator with one account; the credentials of its user go into the file.

    `tiers` are JetStream limits by number of replicas (R1, R3), in place of limits of the whole account.
    """
    operator, account = key(nkeys.PREFIX_BYTE_OPERATOR), key(nkeys.PREFIX_BYTE_ACCOUNT)
    system, user = key(nkeys.PREFIX_BYTE_ACCOUNT), key(nkeys.PREFIX_BYTE_USER)
    limits = {"subs": -1, "data": -1, "payload": -1, "conn": -1, "leaf": -1, "imports": -1, "exports": -1, "wildcards": True}
    storage = {"mem_storage": -1, "disk_storage": -1, "streams": -1, "consumer": -1}
    granted = limits | ({"tiered_limits": tiers} if tiers else storage)
    operator_jwt = _signed(operator, operator.public, "operator", {"type": "operator", "system_account": system.public})
    account_jwt = _signed(operator, account.public, "fleet", {"type": "account", "limits": granted})
    system_jwt = _signed(operator, system.public, "system", {"type": "account", "limits": limits})
    user_jwt = _signed(account, user.public, "exporter", {"type": "user", "subs": -1, "data": -1, "payload": -1})
    credentials.write_text(
        f"-----BEGIN NATS USER JWT-----\n{user_jwt}\n------END NATS USER JWT------\n\n"
        f"-----BEGIN USER NKEY SEED-----\n{user.seed.decode()}\n------END USER NKEY SEED------\n"
    )
    return (
        f"operator: {operator_jwt}\nsystem_account: {system.public}\nresolver: MEMORY\n"
        f"resolver_preload: {{ {account.public}: {account_jwt}, {system.public}: {system_jwt} }}\n"
    )
