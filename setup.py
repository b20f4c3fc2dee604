"""What pyproject.toml cannot say: messages are compiled, and the generated files come along, when the package is built."""

from __future__ import annotations

import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

PROTOS = Path("exporter/sources/services")
GENERATED = Path("deploy/helm/files")  # dashboards and rules: the chart's files, of which a wheel has a copy
BUNDLED = Path("exporter/generated")  # where `exporter/assets.py` finds them in a wheel


class BuildWithGenerated(build_py):
    """`build_py`, after the messages are there, and with the generated files beside the modules."""

    def run(self) -> None:
        self._compile_protos()
        super().run()
        if not self.editable_mode:  # a checkout has them already
            bundled = Path(self.build_lib) / BUNDLED
            shutil.rmtree(bundled, ignore_errors=True)  # an earlier build's, among them what is no more
            shutil.copytree(GENERATED, bundled)

    def _compile_protos(self) -> None:
        import grpc_tools
        from grpc_tools import protoc

        standard = Path(grpc_tools.__file__).parent / "_proto"  # google/protobuf/timestamp.proto and its like
        for proto in sorted(PROTOS.glob("*.proto")):
            if protoc.main(["protoc", "-I.", f"-I{standard}", "--python_out=.", "--pyi_out=.", str(proto)]) != 0:
                raise SystemExit(f"{proto} cannot be compiled")


setup(cmdclass={"build_py": BuildWithGenerated})
