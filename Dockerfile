# syntax=docker/dockerfile:1
# The exporter, with the gRPC extra: `docker build -t fleet-exporter .`
# The simulated fleet of `deploy/compose`: `docker build --target fleet -t fleet-exporter-fleet .`

FROM python:3.11.15-slim-bookworm AS base

FROM base AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
WORKDIR /src
# What changes seldom comes first: both layers are kept as long as their lock is the same.
COPY requirements.runtime.lock ./
RUN python -m venv --without-pip /opt/fleet-exporter \
    && python -m pip --python /opt/fleet-exporter/bin/python install --no-compile --require-hashes -r requirements.runtime.lock
COPY requirements.build.lock ./
RUN python -m venv /build \
    && /build/bin/python -m pip install --require-hashes -r requirements.build.lock
COPY pyproject.toml setup.py MANIFEST.in README.md LICENSE ./
COPY exporter exporter
COPY alerts alerts
COPY dashboards dashboards
COPY deploy/helm/files deploy/helm/files
RUN /build/bin/python -m pip wheel --no-deps --no-build-isolation --no-index -w /wheels . \
    && python -m pip --python /opt/fleet-exporter/bin/python install --no-compile --no-deps --no-index /wheels/*.whl \
    && /opt/fleet-exporter/bin/python -m compileall -q /opt/fleet-exporter/lib

FROM base AS runtime
COPY --from=build /opt/fleet-exporter /opt/fleet-exporter
# Nothing is written: the root file system may be read-only.
ENV PATH=/opt/fleet-exporter/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
WORKDIR /
# A number, so that Kubernetes can see that it is not root.
USER 65532:65532

FROM runtime AS fleet
COPY demo /opt/demo/demo
ENV PYTHONPATH=/opt/demo
ENTRYPOINT ["python", "-m", "demo.simulate"]

FROM runtime AS exporter
ARG VERSION=0.1.0
ARG REVISION=unknown
ARG CREATED=unknown
LABEL org.opencontainers.image.title="fleet-exporter" \
      org.opencontainers.image.description="Prometheus exporter for a fleet of LLM agents on Kubernetes" \
      org.opencontainers.image.source="https://github.com/fleet-exporter/fleet-exporter" \
      org.opencontainers.image.documentation="https://github.com/fleet-exporter/fleet-exporter/blob/main/README.md" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.created="${CREATED}"
EXPOSE 9847
HEALTHCHECK --interval=30s --timeout=5s --start-period=10s --retries=3 CMD ["fleet-exporter", "health"]
ENTRYPOINT ["fleet-exporter"]
