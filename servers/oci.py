"""Container images written as archives, without an engine: a few binaries with the libraries that they are linked to."""

from __future__ import annotations

import hashlib
import io
import json
import re
import subprocess
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

_LINKED = re.compile(r"(?:=> )?(/\S+) \(0x")


def write(archive: Path, name: str, binaries: Mapping[str, Path], *, entrypoint: Sequence[str], user: str = "65534") -> None:
    """Write an image with the full `name` (registry, path and tag) as an OCI archive that containerd imports.

    `binaries` are files by their path in the image; the shared libraries they need come along. The user is a number.
    """
    files = dict(binaries)
    for binary in binaries.values():
        files |= {str(library): library for library in _libraries(binary)}
    layer = _layer(files)
    config = {
        "architecture": "amd64",
        "os": "linux",
        "config": {"Entrypoint": list(entrypoint), "User": user, "Env": ["PATH=/bin"]},
        "rootfs": {"type": "layers", "diff_ids": [_digest(layer)]},
    }
    blobs = [json.dumps(config).encode(), layer]
    kinds = ["application/vnd.oci.image.config.v1+json", "application/vnd.oci.image.layer.v1.tar"]
    descriptors = [_descriptor(kind, blob) for kind, blob in zip(kinds, blobs, strict=True)]
    kind = "application/vnd.oci.image.manifest.v1+json"
    manifest = {"schemaVersion": 2, "mediaType": kind, "config": descriptors[0], "layers": descriptors[1:]}
    blobs.append(json.dumps(manifest).encode())
    described = _descriptor(kind, blobs[-1]) | {"annotations": {"io.containerd.image.name": name}}
    content = {f"blobs/sha256/{_digest(blob).partition(':')[2]}": blob for blob in blobs}
    content["oci-layout"] = json.dumps({"imageLayoutVersion": "1.0.0"}).encode()
    content["index.json"] = json.dumps({"schemaVersion": 2, "manifests": [described]}).encode()
    with tarfile.open(archive, "w") as tar:
        for path, blob in content.items():
            _add(tar, path, blob)


def _libraries(binary: Path) -> list[Path]:
    """The shared libraries and the loader, as `ldd` finds them; none for a static binary."""
    shown = subprocess.run(["ldd", binary], capture_output=True, text=True, check=False).stdout
    return [Path(path) for path in _LINKED.findall(shown)]


def _layer(files: Mapping[str, Path]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for path, file in files.items():
            _add(tar, path.lstrip("/"), file.read_bytes(), mode=0o755)
        folder = tarfile.TarInfo("tmp")
        folder.type, folder.mode = tarfile.DIRTYPE, 0o1777
        tar.addfile(folder)
    return buffer.getvalue()


def _add(tar: tarfile.TarFile, path: str, content: bytes, *, mode: int = 0o644) -> None:
    info = tarfile.TarInfo(path)
    info.size, info.mode = len(content), mode
    tar.addfile(info, io.BytesIO(content))


def _digest(blob: bytes) -> str:
    return f"sha256:{hashlib.sha256(blob).hexdigest()}"


def _descriptor(kind: str, blob: bytes) -> dict[str, Any]:
    return {"mediaType": kind, "digest": _digest(blob), "size": len(blob)}
