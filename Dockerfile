# Three stages: libraries and tools, the build, and a slim image with the binary alone.
FROM debian:bookworm-slim AS tools
WORKDIR /src
COPY scripts/install scripts/install
RUN scripts/install build

FROM tools AS build
COPY . .
RUN scripts/build --strip && strip build/eventbox -o /eventbox

FROM debian:bookworm-slim
RUN apt-get update -q && \
    DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends libcurl4 libssl3 ca-certificates && \
    rm -rf /var/lib/apt/lists/* && \
    useradd --system --home-dir /var/lib/eventbox --shell /usr/sbin/nologin eventbox && \
    install -d -m 0700 -o eventbox -g eventbox /var/lib/eventbox
COPY --from=build /eventbox /usr/bin/eventbox
COPY --from=build /src/conf/eventbox.conf /etc/eventbox.conf
USER eventbox
WORKDIR /var/lib/eventbox
VOLUME /var/lib/eventbox
EXPOSE 8000 8001 9092 9093
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=5s CMD ["/usr/bin/eventbox", "health"]
ENTRYPOINT ["/usr/bin/eventbox", "--data", "/var/lib/eventbox"]
CMD ["--users.host", "0.0.0.0", "--notify.host", "0.0.0.0", "--broker.host", "0.0.0.0"]
