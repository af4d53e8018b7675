# Whoever builds an image to run it should pin this by digest: see docs/operations.md.
ARG BASE=docker.io/library/python:3.11-slim-bookworm

FROM $BASE AS build
WORKDIR /opt/gomail
RUN python -m venv .venv
COPY requirements.lock requirements-build.lock ./
RUN .venv/bin/pip install --no-cache-dir --require-hashes \
    --requirement requirements-build.lock --requirement requirements.lock
COPY . .
RUN .venv/bin/pip install --no-cache-dir --no-deps --no-build-isolation --editable . \
    && .venv/bin/pip uninstall --yes pip setuptools

FROM $BASE
RUN pip uninstall --yes --root-user-action=ignore pip setuptools wheel \
    && useradd --system --uid 10001 --home-dir /var/lib/gomail --create-home gomail \
    && install --directory --owner=gomail --group=gomail --mode=0700 /var/lib/gomail/data
COPY --from=build /opt/gomail /opt/gomail
ENV PATH=/opt/gomail/.venv/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    MAIL_HOST=0.0.0.0 \
    MAIL_METRICS_HOST=0.0.0.0 \
    MAIL_PORT=3000 \
    MAIL_DATA_DIR=/var/lib/gomail/data
WORKDIR /opt/gomail
USER 10001
VOLUME /var/lib/gomail/data
EXPOSE 3000 9090
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=10s \
    CMD ["python", "-c", "import os, urllib.request as r; r.urlopen(f'http://127.0.0.1:{os.environ[\"MAIL_PORT\"]}/health', timeout=2)"]
ENTRYPOINT ["gunicorn", "wsgi:app"]
