# Three stages: compiler and libraries, the build, and a slim image with the binary alone.
#   docker build -t eventbox .          scripts/container does and tests the same without an engine
FROM debian:bookworm-slim AS tools
WORKDIR /src
COPY scripts/install scripts/install
RUN scripts/install build

FROM tools AS build
COPY . .
RUN scripts/build && strip -o /eventbox build/eventbox

# Most libraries are inside the binary. Not so those that Debian has shared only, OpenSSL, and libcurl, which is
# opened at run time for mail through SendGrid.
FROM debian:bookworm-slim
RUN apt-get update -q && \
    DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends \
        libcjson1 libssl3 libcurl4 ca-certificates && \
    rm -rf /var/lib/apt/lists/* && \
    useradd --system --home-dir /var/lib/eventbox --shell /usr/sbin/nologin eventbox && \
    install -d -m 0700 -o eventbox -g eventbox /var/lib/eventbox
COPY --from=build /eventbox /usr/bin/eventbox
COPY conf/eventbox.conf /etc/eventbox.conf
# In the environment, so that `eventbox health` and options after `docker run eventbox` see the same settings.
# Off loopback it starts with EVENTBOX_INSECURE=yes only.
ENV EVENTBOX_DATA=/var/lib/eventbox \
    EVENTBOX_USERS_HOST=0.0.0.0 \
    EVENTBOX_NOTIFY_HOST=0.0.0.0 \
    EVENTBOX_BROKER_HOST=0.0.0.0
USER eventbox
WORKDIR /var/lib/eventbox
VOLUME /var/lib/eventbox
EXPOSE 8000 8001 9092 9093
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=5s CMD ["/usr/bin/eventbox", "--conf", "/etc/eventbox.conf", "health"]
ENTRYPOINT ["/usr/bin/eventbox", "--conf", "/etc/eventbox.conf"]
CMD ["run"]
