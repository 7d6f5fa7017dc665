# The image of lake: docs/image.md. It is built by scripts/image, which says what the arguments are.
#   compiled here:  docker build .
#   packaged:       scripts/image files --binary target/release/lake
#                   docker build --target packaged -f Dockerfile target/image
# Compiling needs BuildKit, which leaves out the stage that is not asked for; packaging does without.

# With `scratch`, lake brings the few files of the builder's system that it needs. Any other image has to bring
# glibc, no older than the builder's, libgcc_s, and CA certificates.
ARG BASE=scratch
# glibc of the builder decides which transforms can be loaded: those that were linked with the same or an older one.
ARG BUILDER=rust:1.95-bookworm

FROM ${BASE} AS runtime
ARG VERSION=
ARG REVISION=
ARG SOURCE=
LABEL org.opencontainers.image.title="lake" \
      org.opencontainers.image.description="Turns raw files into Delta tables" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.source="${SOURCE}" \
      org.opencontainers.image.licenses="Apache-2.0" \
      lake.sbom="/usr/share/doc/lake/lake.cdx.json"
# Nothing else is written to, so that the root file system can be read-only.
ENV LAKE_CACHE=/var/cache/lake TMPDIR=/tmp
USER 65532:65532
# The first process of a container does not hear SIGTERM, unless it has a handler. lake needs no time to end:
# a run that is killed has no effect, or is finished by the next one.
STOPSIGNAL SIGKILL
ENTRYPOINT ["/usr/bin/lake"]

# From files that are laid out already: the context is their directory.
FROM runtime AS packaged
COPY . /
# That it loads, with this system's libraries and as this user.
RUN ["/usr/bin/lake", "--version"]

FROM ${BUILDER} AS build
ARG BASE
WORKDIR /src
COPY . .
RUN cargo build --locked --release -p lake && \
    scripts/image files --binary target/release/lake --base "${BASE}" --out /image

FROM runtime AS image
COPY --from=build /image /
RUN ["/usr/bin/lake", "--version"]
