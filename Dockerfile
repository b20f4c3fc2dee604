# The exporter, with the gRPC extra: `docker build -t fleet-exporter .`
# The simulated fleet of `deploy/compose`: `docker build --target fleet -t fleet-exporter-fleet .`

FROM python:3.11.15-slim-bookworm AS base

FROM base AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
WORKDIR /src
# What changes rarely comes first: both layers are kept as long as their lock is the same.
# Half of the packages' size is the generated API classes and models of the Kubernetes client, in two copies. The exporter
# uses only the client's connection and credentials and decodes objects itself, so of them only the models' list of names
# is imported.
COPY requirements.runtime.lock ./
RUN python -m venv --without-pip /opt/fleet-exporter \
    && python -m pip --python /opt/fleet-exporter/bin/python install --no-compile --require-hashes -r requirements.runtime.lock \
    && for folder in /opt/fleet-exporter/lib/python3.11/site-packages/kubernetes/client \
                     /opt/fleet-exporter/lib/python3.11/site-packages/kubernetes/aio/client; do \
         rm -r "$folder/api" && find "$folder/models" -type f ! -name __init__.py -delete || exit 1; \
       done \
    && /opt/fleet-exporter/bin/python -c 'from kubernetes.aio import client, config; client.ApiClient' \
    && python -m compileall -q /opt/fleet-exporter/lib
COPY requirements.build.lock ./
RUN python -m venv /build \
    && /build/bin/python -m pip install --require-hashes -r requirements.build.lock
COPY pyproject.toml README.md LICENSE ./
COPY exporter exporter
COPY deploy/helm/files deploy/helm/files
COPY docs/fleet-exporter.1 docs/fleet-exporter.1
RUN /build/bin/python -m pip wheel --no-deps --no-build-isolation --no-index -w /wheels . \
    && python -m pip --python /opt/fleet-exporter/bin/python install --no-deps --no-index /wheels/*.whl

FROM base AS runtime
COPY --from=build /opt/fleet-exporter /opt/fleet-exporter
# Nothing is written: the root file system may be read-only. The Kubernetes client makes files of certificates that are
# inside a kubeconfig; /dev/shm is memory.
ENV TMPDIR=/dev/shm
ENV PATH=/opt/fleet-exporter/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
WORKDIR /
# A number, so that Kubernetes can see that it is not root.
USER 65532:65532

FROM runtime AS fleet
COPY demo /opt/demo/demo
COPY servers /opt/demo/servers
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
HEALTHCHECK --interval=30s --timeout=10s --start-period=30s --retries=3 CMD ["fleet-exporter", "health"]
ENTRYPOINT ["fleet-exporter"]
