"""Passwords checked against bcrypt hashes: slow by design, so few at once, apart from all other work."""

from __future__ import annotations

import asyncio
import hashlib
import secrets
from collections import OrderedDict
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor

_QUEUE = 8
"""Passwords being checked or waiting for it; more are refused, since each takes 50 to 500 ms of a core."""
_REMEMBERED = 1000


class TooManyPasswords(Exception):
    """As many passwords as are allowed are being checked."""


class Passwords:
    """Checks users' passwords. A password that was right once is remembered and never waits again."""

    def __init__(self) -> None:
        self._key = secrets.token_bytes(32)
        self._right: OrderedDict[bytes, None] = OrderedDict()
        self._wrong: OrderedDict[bytes, None] = OrderedDict()
        self._workers = ThreadPoolExecutor(1, thread_name_prefix="password")
        self._queued = 0
        self._nobody: dict[int, str] = {}

    async def fits(self, users: Mapping[str, str], user: str, password: str) -> bool:
        """Whether the user has that password. Raises TooManyPasswords.

        An unknown user takes as long as a known one, so that names cannot be found by the clock.
        """
        stored = users.get(user)
        cost = max((_cost(hashed) for hashed in users.values()), default=10)
        known = hashlib.blake2b(f"{stored}\0{user}\0{password}".encode(), key=self._key).digest()
        if known in self._right:
            return True
        if known in self._wrong:
            return False
        if self._queued >= _QUEUE:
            raise TooManyPasswords
        self._queued += 1
        try:
            fits = await asyncio.get_running_loop().run_in_executor(self._workers, self._check, stored, cost, password)
        finally:
            self._queued -= 1
        remembered = self._right if fits else self._wrong
        remembered[known] = None
        while len(remembered) > _REMEMBERED:
            remembered.popitem(last=False)
        return fits

    def _check(self, stored: str | None, cost: int, password: str) -> bool:
        import bcrypt  # only where there are passwords

        if stored is None:
            if cost not in self._nobody:
                self._nobody[cost] = bcrypt.hashpw(secrets.token_bytes(32), bcrypt.gensalt(cost)).decode()
            bcrypt.checkpw(password.encode()[:72], self._nobody[cost].encode())
            return False
        try:
            return bcrypt.checkpw(password.encode()[:72], stored.encode())
        except ValueError:
            return False

    def close(self) -> None:
        """Drop what waits; the one in progress ends by itself."""
        self._workers.shutdown(wait=False, cancel_futures=True)


def _cost(hashed: str) -> int:
    cost = hashed.split("$")[2] if hashed.count("$") >= 3 else ""
    return min(max(int(cost), 4), 31) if cost.isdecimal() else 10
