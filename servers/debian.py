"""Debian packages, unpacked into the cache instead of installed, so that none of their daemons is started."""

from __future__ import annotations

import contextlib
import os
import platform
import re
import shutil
from pathlib import Path

from servers.cache import CACHE, Progress, ServerMissing, cached, locked, silent
from servers.command import CommandFailed, run

_APT = "apt-get"
"""The lock for changes of the package lists and for installations."""


def unpacked(package: str, progress: Progress = silent, *, extra: tuple[str, ...] = ()) -> Path:
    """The root of a package's files (`usr/bin/…`), with packages `extra` and libraries the machine lacks.

    Takes seconds and `apt-get`, not root. Kept by the release of the system: within one, a package keeps its version
    but for fixes. Raises ServerMissing.
    """

    def build(folder: Path) -> None:
        progress(f"downloading Debian's {package}")
        owners = (package, *extra)
        names = dict.fromkeys([*owners, *(library for owner in owners for library in _missing_libraries(owner))])
        for number, name in enumerate(names):
            progress.steps(number, len(names), "packages")
            _download(name, folder)
        for archive in folder.glob("*.deb"):
            try:
                run(["dpkg-deb", "-x", archive, folder])
            except CommandFailed as failed:
                raise ServerMissing(f"Debian's {package} could not be unpacked ({failed}): install it by hand") from None
            archive.unlink()

    if not (shutil.which("apt-get") and shutil.which("dpkg-deb")):
        raise ServerMissing(f"{package} is not on the PATH and this is no Debian system: install it by hand")
    return cached(f"{_release()}-{package}", build, progress)


def _apt(command: str, *arguments: str) -> list[str]:
    """An apt command; for an ordinary user, with package lists in the cache, because the system's belong to root."""
    if os.geteuid() == 0:
        return [command, *arguments]
    own = CACHE / "apt"
    for folder in ("lists/partial", "archives/partial"):
        (own / folder).mkdir(parents=True, exist_ok=True)
    settings = {"Dir::State::lists": own / "lists", "Dir::Cache": own, "Debug::NoLocking": "true"}
    return [command, *(part for name, value in settings.items() for part in ("-o", f"{name}={value}")), *arguments]


def _release() -> str:
    """Such as debian-12."""
    about = platform.freedesktop_os_release()
    return f"{about['ID']}-{about.get('VERSION_ID', 'testing')}"


def _missing_libraries(package: str) -> list[str]:
    """Shared libraries that the package names and this machine does not have installed."""
    _learn(package)
    shown = _output(_apt("apt-cache", "show", package))
    depends = re.search(r"^Depends: (.*)$", shown, re.MULTILINE)
    names = set(re.findall(r"\b(lib(?!js-)[\w.+-]+)", depends[1])) if depends else set()
    installed = _output(["dpkg-query", "-W", "-f", "${Package}\n"]).split()
    return sorted(names - set(installed))


def _output(command: list[str]) -> str:
    """Its output, also if it failed. Raises Cancelled."""
    try:
        return run(command)
    except CommandFailed as failed:
        return failed.output


def _learn(package: str) -> None:
    """Fetch the package lists where apt does not know the package, as on a fresh machine."""
    with locked(_APT):  # of two `apt-get update`s at once, the second fails instead of waiting
        shown = _output(_apt("apt-cache", "policy", package))
        if "Candidate:" not in shown or "Candidate: (none)" in shown:
            _update()


def _update() -> None:
    with contextlib.suppress(CommandFailed):  # the existing lists may suffice; otherwise the download reports the error
        run(_apt("apt-get", "update", "-q"))


def _download(name: str, folder: Path) -> None:
    command = _apt("apt-get", "download", "-q", "-o", "APT::Sandbox::User=root", name)
    try:
        run(command, folder=folder)
    except CommandFailed:  # outdated lists name packages that no longer exist
        with locked(_APT):
            _update()
        try:
            run(command, folder=folder)
        except CommandFailed as failed:
            raise ServerMissing(f"Debian's {name} cannot be downloaded ({failed}): install it by hand") from None


def install(*packages: str) -> str | None:
    """Install tools without daemons; returns None, or the reason of the failure."""
    if shutil.which("apt-get") is None:
        return "this is no Debian system"
    command = ["apt-get", "install", "-y", "-q", "-o", "DPkg::Lock::Timeout=300", "--no-install-recommends"]
    env = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    with locked(_APT):
        _update()
        try:
            run([*command, "--download-only", *packages], env=env)
            run([*command, *packages], env=env, interruptible=False)  # dpkg would be left half done
        except CommandFailed as failed:
            return str(failed)
    return None


def libraries(binary: Path) -> dict[str, str]:
    """The environment by which a binary of the cache finds the libraries unpacked with it."""
    if not binary.is_relative_to(CACHE):
        return {}
    root = CACHE / binary.relative_to(CACHE).parts[0]
    found = [str(folder) for lib in ("usr/lib", "lib") for folder in sorted((root / lib).glob("*-linux-gnu*"))]
    return {"LD_LIBRARY_PATH": ":".join(found)} if found else {}
