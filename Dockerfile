# One image for all of it: the control API, the bundled trainer, and any program of yours.
#
#   docker build -t midcourse .
#
# docker/README.md tells of the build arguments. The classic builder will do.
ARG BASE_IMAGE=python:3.11-slim-bookworm

# Whatever pip was told (a mirror, its password) stays behind in this stage.
FROM ${BASE_IMAGE} AS dependencies
ARG PIP_INDEX_URL
ARG PIP_EXTRA_INDEX_URL
ARG PIP_CERT
ARG TORCH_INDEX_URL
WORKDIR /build
COPY requirements.txt docker/install_requirements.sh ./
RUN ./install_requirements.sh /opt/venv requirements.txt

FROM ${BASE_IMAGE} AS code
ARG COMMIT
COPY . /opt/midcourse
WORKDIR /opt/midcourse
RUN docker/settle_code.sh

FROM ${BASE_IMAGE}
LABEL org.opencontainers.image.title="Midcourse" \
      org.opencontainers.image.description="Change the course of a machine-learning run while it trains, exactly and on the record." \
      org.opencontainers.image.version="0.1.0" \
      org.opencontainers.image.licenses="Apache-2.0"
# /data takes any user, as clusters choose one; a fresh volume takes over its owner and mode, and so
# does one for a part of it.
RUN echo 'midcourse:x:1000:1000::/tmp:/usr/sbin/nologin' >> /etc/passwd \
    && echo 'midcourse:x:1000:' >> /etc/group \
    && install -d -m 1777 -o 1000 -g 1000 /data /data/runs /data/data /work
COPY --from=dependencies /opt/venv /opt/venv
COPY --from=code /opt/midcourse /opt/midcourse
ENV PATH=/opt/venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    HOME=/tmp \
    USER=midcourse \
    MIDCOURSE_IN_CONTAINER=yes \
    MIDCOURSE_HOME=/data \
    MIDCOURSE_HOST=0.0.0.0 \
    MIDCOURSE_TRAINERS_STAY=no
USER 1000:1000
WORKDIR /work
VOLUME /data
EXPOSE 8080
HEALTHCHECK --interval=30s --timeout=10s --start-period=60s CMD ["/opt/midcourse/docker/healthcheck.sh"]
ENTRYPOINT ["/opt/midcourse/docker_entrypoint.sh"]
CMD ["up"]
