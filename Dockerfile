# volley in containers. Targets: `volley` (all services and commands), `tor` (a client with a SOCKS port for each family),
# `start9` (docs/start9.md).
# No syntax beyond the legacy builder's. BASE_IMAGE is any Debian 12.
ARG BASE_IMAGE=debian:bookworm-slim

# What is needed to build: the list of `make deps`, by itself, so that another change of the Makefile installs nothing anew.
FROM ${BASE_IMAGE} AS list
COPY Makefile /
RUN sed -n '/^RUN_DEPS :=/,/[^\\]$/ { s/^RUN_DEPS :=//; s/\\$//; p }' /Makefile > /deps && grep -q build-essential /deps

FROM ${BASE_IMAGE} AS build
WORKDIR /src
COPY --from=list /deps /deps
RUN apt-get update && apt-get install -y --no-install-recommends make $(cat /deps) && rm -rf /var/lib/apt/lists/*
COPY . .
RUN make -j"$(nproc)" build && make install PREFIX=/usr DESTDIR=/out
# The packages whose libraries the program needs, in words for apt.
RUN mkdir debian && touch debian/control && dpkg-shlibdeps -O /out/usr/bin/volley 2>/dev/null \
    | sed 's/^shlibs:Depends=//; s/([^)]*)//g; s/,/ /g' > /out/packages && test -s /out/packages

# What all images have. ca-certificates for wss; ip and ping to look around with. Ping needs no capability: the kernel lets
# every group of a container send echo requests (net.ipv4.ping_group_range), and no set-uid program is left here.
FROM ${BASE_IMAGE} AS base
COPY --from=build /out/packages /usr/share/volley/packages
RUN apt-get update \
    && apt-get install -y --no-install-recommends ca-certificates iproute2 iputils-ping $(cat /usr/share/volley/packages) \
    && rm -rf /var/lib/apt/lists/* \
    && if command -v setcap >/dev/null; then setcap -r /bin/ping || true; fi \
    && find / -xdev -type f -perm /6000 -exec chmod a-s {} + \
    && groupadd --system --gid 10001 volley \
    && useradd --system --uid 10001 --gid volley --home-dir /var/lib/volley --shell /usr/sbin/nologin volley \
    && install -d -o volley -g volley -m 700 /var/lib/volley && install -d -o volley -g volley -m 755 /run/volley

# volley is in it for its health check.
FROM base AS tor
RUN apt-get update && apt-get install -y --no-install-recommends tor && rm -rf /var/lib/apt/lists/* \
    && find / -xdev -type f -perm /6000 -exec chmod a-s {} + \
    && install -d -o volley -g volley -m 700 /var/lib/tor
COPY packaging/compose/torrc packaging/compose/tor-service /usr/share/volley/
COPY --from=build /out/usr /usr
USER volley
WORKDIR /var/lib/tor
ENTRYPOINT ["/usr/share/volley/tor-service"]
CMD []

# `volley up` with its own tor, and the scripts through which StartOS asks and sets. StartOS' volume is root's.
FROM tor AS start9
USER root
WORKDIR /
RUN apt-get update && apt-get install -y --no-install-recommends jq && rm -rf /var/lib/apt/lists/*
COPY packaging/start9/*.sh packaging/start9/spec.json /usr/share/volley/start9/
ENTRYPOINT ["/usr/share/volley/start9/entrypoint.sh"]

# The last one is made when no target is named.
FROM base AS volley
COPY --from=build /out/usr /usr
USER volley
WORKDIR /var/lib/volley
ENTRYPOINT ["volley"]
CMD ["--help"]
