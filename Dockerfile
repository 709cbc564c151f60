# syntax=docker/dockerfile:1
# Builds on amd64 and arm64; every dependency has wheels for both.
FROM python:3.12-slim-bookworm AS build
WORKDIR /src
COPY pyproject.toml README.md LICENSE ./
COPY bridge bridge
COPY adapters adapters
RUN python -m venv /opt/glucobridge && /opt/glucobridge/bin/pip install --no-cache-dir ".[usb,ble,mongo,otel]"

FROM python:3.12-slim-bookworm
RUN useradd --uid 10001 --home-dir /data --no-create-home --shell /usr/sbin/nologin glucobridge \
 && install -d -o glucobridge -g glucobridge -m 0700 /data
COPY --from=build /opt/glucobridge /opt/glucobridge
# The container is its own network: it binds all addresses, and who publishes the port decides who reaches it.
ENV PATH=/opt/glucobridge/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    GLUCOBRIDGE_DATA=/data \
    GLUCOBRIDGE__SERVICE__HOST=0.0.0.0
USER glucobridge
VOLUME /data
EXPOSE 8787
HEALTHCHECK --interval=60s --timeout=10s --start-period=30s --retries=3 CMD ["glucobridge", "health"]
ENTRYPOINT ["glucobridge"]
CMD ["run"]
