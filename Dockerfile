# All of Fleetwire's programs in one image: docker run fleetwire stream --help

# The wheel, with the dashboard in it, built with the locked tools of `make install` (Node is one of them); nothing else
# of this stage is kept.
FROM python:3.13-slim-bookworm AS wheel
WORKDIR /src
COPY requirements-dev.lock .
RUN pip install --no-cache-dir --disable-pip-version-check --require-hashes -r requirements-dev.lock
COPY pyproject.toml README.md hatch_build.py ./
COPY dashboard dashboard
COPY wire wire
COPY store store
COPY ingest ingest
COPY stream stream
COPY simulator simulator
COPY fleetwire fleetwire
RUN pip wheel --no-cache-dir --disable-pip-version-check --no-deps --no-build-isolation --wheel-dir /wheels .

# What is needed to run, in a folder of its own.
FROM python:3.13-slim-bookworm AS packages
RUN python -m venv /opt/fleetwire
COPY requirements.lock /tmp/
RUN /opt/fleetwire/bin/pip install --no-cache-dir --disable-pip-version-check --require-hashes -r /tmp/requirements.lock
COPY --from=wheel /wheels /tmp/wheels
RUN /opt/fleetwire/bin/pip install --no-cache-dir --disable-pip-version-check --no-deps --no-index /tmp/wheels/*.whl

FROM python:3.13-slim-bookworm
RUN useradd --uid 10001 --user-group --no-create-home --shell /usr/sbin/nologin fleetwire
COPY --from=packages /opt/fleetwire /opt/fleetwire
# In a container, loopback is reached by nobody else.
ENV PATH=/opt/fleetwire/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    FLEETWIRE_HOST=0.0.0.0
WORKDIR /tmp
USER 10001:10001
EXPOSE 8000 9464
ENTRYPOINT ["fleetwire"]
CMD ["--help"]
