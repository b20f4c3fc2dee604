"""Checks passwords against bcrypt hashes, which is slow by design: few at once, in separate threads."""

from __future__ import annotations

import asyncio
import hashlib
import os
import secrets
import sys
import threading
from collections import OrderedDict
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor

_QUEUE = 8
"""Max. concurrent and pending checks; more are rejected, because each takes 50 to 500 ms of a core."""
_REMEMBERED = 1000
_NICE = 10


class TooManyPasswords(Exception):
    """The maximum number of passwords is being checked."""


class Passwords:
    """Checks users' passwords. Correct passwords are cached and need no further check."""

    def __init__(self) -> None:
        self._key = secrets.token_bytes(32)
        self._right: OrderedDict[bytes, None] = OrderedDict()
        self._wrong: OrderedDict[bytes, None] = OrderedDict()
        self._workers = ThreadPoolExecutor(1, thread_name_prefix="password", initializer=_lower_priority)
        self._queued = 0
        self._unknown_user: dict[int, str] = {}

    async def fits(self, users: Mapping[str, str], user: str, password: str) -> bool:
        """Whether the password is correct. Raises TooManyPasswords.

        Unknown users take as long as known ones, to prevent timing attacks on names.

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
        import bcrypt  # only if users are configured

        if stored is None:
            if cost not in self._unknown_user:
                self._unknown_user[cost] = bcrypt.hashpw(secrets.token_bytes(32), bcrypt.gensalt(cost)).decode()
            bcrypt.checkpw(password.encode()[:72], self._unknown_user[cost].encode())
            return False
        try:
            return bcrypt.checkpw(password.encode()[:72], stored.encode())
        except ValueError:
            return False

    def close(self) -> None:
        """Cancel pending checks; the running ones end by themselves."""
        self._workers.shutdown(wait=False, cancel_futures=True)


def _lower_priority() -> None:
    """Let the scheduler prefer the event loop to this thread; elsewhere than on Linux that takes in the whole process."""
    if sys.platform == "linux":
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICE)


def _cost(hashed: str) -> int:
    cost = hashed.split("$")[2] if hashed.count("$") >= 3 else ""
    return min(max(int(cost), 4), 31) if cost.isdecimal() else 10
