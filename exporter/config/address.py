"""Addresses of backends: validated when the configuration is read, shown without credentials.

An address is a URL. The scheme is optional where host:port is customary (NATS, ValKey, Neo4j, vLLM). Errors contain the
address only if it cannot contain a secret.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Annotated, Any, Final
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from pydantic import AfterValidator, BeforeValidator, SecretStr

from exporter.config.redaction import MASK

_SCHEME: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*")
_HOST: Final = re.compile(r"[\w-]+(\.[\w-]+)*\.?")
_HARMLESS: Final = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*://)?[\w./\[\]-]*(:[0-9]{0,5})?(/[\w./-]*)?")
"""Contains no user, password, query or fragment, and only digits after a colon."""
_DEFAULT_PATHS: Final = ("", "/", "/metrics")


class Address(SecretStr):
    """A URL that may contain credentials; its text form and its parts, except `user` and `password`, do not."""

    @property
    def _parts(self) -> SplitResult:
        try:
            parts = urlsplit(self.get_secret_value())
            parts.port  # noqa: B018 - raises where it is no port
        except ValueError:
            return SplitResult("", "", "", "", "")
        # The value is not validated yet: show it only if it is clearly a host or path.
        known = (parts.netloc or parts.scheme == "unix") and "@" not in parts.path
        return parts if known else SplitResult("", "", "", "", "")

    def _display(self) -> str:
        if not self.get_secret_value():
            return ""
        return f"{self.scheme}://{self.location}{self.path}" if self.scheme else MASK

    @property
    def scheme(self) -> str:
        return self._parts.scheme

    @property
    def host(self) -> str:
        """Name or address, IPv6 without brackets."""
        return self._parts.hostname or ""

    @property
    def port(self) -> int | None:
        return self._parts.port

    @property
    def location(self) -> str:
        """host:port as written, without user information."""
        return self._parts.netloc.rpartition("@")[2]

    @property
    def path(self) -> str:
        return self._parts.path

    @property
    def user(self) -> str:
        return unquote(self._parts.username or "")

    @property
    def password(self) -> str:
        return unquote(self._parts.password or "")

    @property
    def without_credentials(self) -> str:
        """The URL, its query included, without user information: for clients that take credentials separately."""
        return self._parts._replace(netloc=self.location).geturl()

    @property
    def server(self) -> str:
        """Value of the label `server`: host:port, and a path or database other than the default one."""
        path = self.path
        if self.scheme in ("redis", "rediss", "unix"):
            database = dict(parse_qsl(self._parts.query)).get("db", "")
            path = path if self.scheme == "unix" else path.strip("/")
            number = (database if self.scheme == "unix" else database or path).lstrip("0")
            return f"{self.location}{path if self.scheme == 'unix' else ''}{f'/{number}' if number else ''}"
        return f"{self.location}{'' if path in _DEFAULT_PATHS else path}"

    def with_default_path(self, path: str) -> str:
        """The whole URL including credentials, with that path if it has none."""
        parts = self._parts
        return (parts if parts.path not in ("", "/") else parts._replace(path=path)).geturl()


@dataclass(frozen=True)
class Form:
    """The valid addresses of a backend."""

    example: str
    schemes: Mapping[str, str]
    """Accepted schemes, and the client's name for each."""
    assumed: str | None = None
    """Default scheme."""
    path: str = "/?"
    """Pattern of the whole path."""
    query: Sequence[str] | None = ()
    """Valid query parameters; None: any."""
    needs_port: bool = False

    def parsed(self, text: str, *, shown: bool) -> Address:
        """The address with the client's scheme. Raises ValueError; the message contains the address only if `shown`."""
        got = f", got {text!r}" if shown and _HARMLESS.fullmatch(text) else ""

        def refused(why: str) -> ValueError:
            return ValueError(f"expected {self.example}{got}; {why}")

        if re.search(r"[\s\x00-\x1f\x7f\\]", text) or not text.isprintable():
            raise refused("remove spaces, control characters and backslashes")
        scheme, separator, rest = text.partition("://")
        if not separator:
            if self.assumed is None:
                raise refused(f"begin with {' or '.join(f'{name}://' for name in self.schemes)}")
            scheme, rest = self.assumed, text
            if "@" in text:
                raise refused(f"begin with {self.assumed}:// if the address holds credentials")
            if "//" in text:
                raise refused(f"begin with {self.assumed}://")
        elif scheme.lower() not in self.schemes:
            known = ", ".join(f"{name}://" for name in self.schemes)
            raise refused(f"the scheme must be one of {known}")
        authority, after = _divided(rest)
        if "#" in after or "@" in after:
            raise refused("percent-encode / ? # and @ in a user name or password, or set them by their own options")
        self._check_authority(authority, unix=scheme.lower() == "unix", refused=refused)
        path, _, query = after.partition("?")
        if not re.fullmatch(r"/.+" if scheme.lower() == "unix" else self.path, path):
            raise refused("the path is not valid here")
        self._check_query(query, refused=refused)
        address = Address(f"{self.schemes[scheme.lower()]}://{authority}{after}")
        if not address.scheme:  # brackets in a user name or password
            raise refused("percent-encode [ and ] in a user name or password")
        return address

    def _check_query(self, query: str, *, refused: Callable[[str], ValueError]) -> None:
        if not query or self.query is None:
            return
        names = [name for name, _ in parse_qsl(query, keep_blank_values=True)]
        if len(names) != len({*names}):  # clients differ in which one counts
            raise refused("the query may contain each parameter once")
        if not names or not {*names} <= {*self.query}:
            allowed = f"only {', '.join(self.query)}" if self.query else "nothing"
            raise refused(f"the query may contain {allowed}")

    def _check_authority(self, authority: str, *, unix: bool, refused: Callable[[str], ValueError]) -> None:
        location = authority.rpartition("@")[2]
        if "@" in authority.rpartition("@")[0]:
            raise refused("percent-encode @ in a user name or password (%40)")
        if unix:
            if location:
                raise refused("a unix:// address must be a path, such as unix:///run/valkey.sock")
            return
        if location.startswith("["):
            inside, closed, port = location[1:].partition("]")
            try:
                valid = bool(closed) and bool(ipaddress.IPv6Address(inside.replace("%25", "%")))
            except ValueError:
                valid = False
            valid, separator, port = valid and (not port or port.startswith(":")), port[:1], port[1:]
        else:
            host, separator, port = location.partition(":")
            valid = bool(_HOST.fullmatch(host)) and len(host) <= 253
        if not valid:
            raise refused("the host must be a name, an IPv4 address or an IPv6 address in brackets")
        if (separator or self.needs_port) and not (re.fullmatch("[0-9]{1,5}", port) and 0 < int(port) < 65536):
            raise refused("the port must be a number from 1 to 65535")


def _divided(rest: str) -> tuple[str, str]:
    """The part after `://` as (authority, path with query and fragment)."""
    end = min((place for place in map(rest.find, "/?#") if place >= 0), default=len(rest))
    return rest[:end], rest[end:]


_NATS = Form("nats://host:port", {"nats": "nats", "tls": "tls", "ws": "ws", "wss": "wss"}, assumed="nats")
_VALKEY = Form(
    "redis://host:port, rediss:// or unix:///path",
    {"redis": "redis", "rediss": "rediss", "valkey": "redis", "valkeys": "rediss", "unix": "unix"},
    assumed="redis",
    path="/?|/[0-9]{1,5}",
    query=(
        "db",
        "username",
        "password",
        "ssl_cert_reqs",
        "ssl_ca_certs",
        "ssl_certfile",
        "ssl_keyfile",
        "ssl_check_hostname",
    ),
)
_BOLT = {name: name for name in ("bolt", "bolt+s", "bolt+ssc")}
_NEO4J = Form(
    "bolt://host:port or neo4j://host:port",
    {**_BOLT, **{name.replace("bolt", "neo4j"): name.replace("bolt", "neo4j") for name in _BOLT}},
    assumed="bolt",
    query=("policy", "region"),  # routing context
)
_HTTP_SCHEMES = {"http": "http", "https": "https"}
_HTTP = Form("http://host:port or https://host:port", _HTTP_SCHEMES, path=r"(/.*)?", query=None)
_PORT = Form("http://host:port or https://host:port", _HTTP_SCHEMES, assumed="http")
_HTTP_OR_HOST = Form("http://host:port or https://host:port", _HTTP_SCHEMES, assumed="http", path=r"(/.*)?", query=None)
_HOST_PORT = Form("host:port", {"grpc": "grpc"}, assumed="grpc", path="", needs_port=True)


def split(value: Any) -> Any:
    """Splits a text at commas; other values are returned unchanged."""
    return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value


def paired(value: Any) -> Any:
    """Parses name=value pairs separated by commas; other values are returned unchanged. Raises ValueError."""
    if not isinstance(value, str):
        return value
    found: dict[str, str] = {}
    for part in split(value):
        name, separator, text = (piece.strip() for piece in part.partition("="))
        if not separator or not name or not text:
            raise ValueError("expected name=value, separated by commas; percent-encode a comma in a value (%2C)")
        if name in found:
            raise ValueError("expected each name once, got one twice; give each service its own name")
        found[name] = text
    return found


def _harmless(texts: Iterable[str]) -> bool:
    """Whether no address can contain a secret; checked together, because a password with a comma is split."""
    return all(_HARMLESS.fullmatch(text) for text in texts)


def _one(form: Form) -> AfterValidator:
    def validated(address: Address) -> Address:
        text = address.get_secret_value().strip()
        return form.parsed(text, shown=True) if text else Address("")

    return AfterValidator(validated)


def _all(form: Form, *, distinct: bool) -> AfterValidator:
    def validated(addresses: tuple[Address, ...]) -> tuple[Address, ...]:
        texts = [address.get_secret_value().strip() for address in addresses]
        if any("?" in text and "://" not in following for text, following in pairwise(texts)):
            # It may be the rest of a password in the query, which would be shown as a host.
            raise ValueError("expected a scheme in an address after one with a query; percent-encode a comma (%2C)")
        found = tuple(form.parsed(text, shown=_harmless(texts)) for text in texts)
        servers = [address.server for address in found]
        if distinct and (twice := {server for server in servers if servers.count(server) > 1}):
            names = ", ".join(sorted(twice))
            raise ValueError(f"expected one address per server, got several for {names}; remove all but one of each")
        return found

    return AfterValidator(validated)


def _named(form: Form) -> AfterValidator:
    def validated(addresses: dict[str, Address]) -> dict[str, Address]:
        texts = {name: address.get_secret_value().strip() for name, address in addresses.items()}
        harmless = _harmless((*texts, *texts.values()))
        found = {}
        for name, text in texts.items():
            if not name:
                raise ValueError(f"expected name={form.example}, got an empty name")
            try:
                found[name] = form.parsed(text, shown=harmless)
            except ValueError as error:
                raise ValueError(f"{name}: {error}" if harmless else str(error)) from None
        return found

    return AfterValidator(validated)


_Several = Annotated[tuple[Address, ...], BeforeValidator(split)]
_ByName = Annotated[dict[str, Address], BeforeValidator(paired)]

NatsAddresses = Annotated[_Several, _all(_NATS, distinct=False)]
"""The members of one cluster."""
ValkeyAddresses = Annotated[_Several, _all(_VALKEY, distinct=True)]
Neo4jAddress = Annotated[Address, _one(_NEO4J)]
VllmAddresses = Annotated[_Several, _all(_HTTP_OR_HOST, distinct=True)]
MonitoringAddresses = Annotated[_Several, _all(_PORT, distinct=True)]
"""The monitoring ports of the members of one cluster."""
HttpAddress = Annotated[Address, _one(_HTTP)]
HttpAddresses = Annotated[_ByName, _named(_HTTP)]
"""URLs by name: comma-separated name=URL pairs, or a YAML mapping."""
GrpcAddresses = Annotated[_ByName, _named(_HOST_PORT)]
"""host:port by name: comma-separated name=host:port pairs, or a YAML mapping."""
