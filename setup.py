"""Compiles the messages of `exporter/sources/services/*.proto` when the package is built; the rest is in pyproject.toml."""

from __future__ import annotations

from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

PROTOS = Path("exporter/sources/services")


class BuildWithProtos(build_py):
    """`build_py`, after the messages are there."""

    def run(self) -> None:
        import grpc_tools
        from grpc_tools import protoc

        standard = Path(grpc_tools.__file__).parent / "_proto"  # google/protobuf/timestamp.proto and its like
        for proto in sorted(PROTOS.glob("*.proto")):
            if protoc.main(["protoc", "-I.", f"-I{standard}", "--python_out=.", "--pyi_out=.", str(proto)]) != 0:
                raise SystemExit(f"{proto} cannot be compiled")
        super().run()


setup(cmdclass={"build_py": BuildWithProtos})
