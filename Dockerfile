# One static binary on nothing: no shell, no package manager, no libc.
#   docker build -t connector-guardian .
#   docker buildx build --platform linux/amd64,linux/arm64 .
# The compiler runs on the builder's own architecture and cross-compiles: no emulation.
ARG RUST_VERSION=1.95
FROM --platform=$BUILDPLATFORM docker.io/library/rust:${RUST_VERSION}-slim-bookworm AS build
# ring has C and assembly, so it takes a C compiler for each architecture; ca-certificates is copied into the image.
# hadolint ignore=DL3008,SC2086
RUN case "$(dpkg --print-architecture)" in \
      amd64) cross="gcc-aarch64-linux-gnu libc6-dev-arm64-cross" ;; \
      arm64) cross="gcc-x86-64-linux-gnu libc6-dev-amd64-cross" ;; \
    esac \
 && apt-get update \
 && apt-get install -y --no-install-recommends ca-certificates gcc libc6-dev $cross \
 && rm -rf /var/lib/apt/lists/*
# Puts the list of crates into the binary, for scanners: the image has no package database to read.
RUN cargo install --locked --version 0.7.7 cargo-auditable
# rust-lld links both targets with the C library that comes with them.
ENV CC_x86_64_unknown_linux_musl=x86_64-linux-gnu-gcc \
    CC_aarch64_unknown_linux_musl=aarch64-linux-gnu-gcc \
    CARGO_TARGET_X86_64_UNKNOWN_LINUX_MUSL_LINKER=rust-lld \
    CARGO_TARGET_AARCH64_UNKNOWN_LINUX_MUSL_LINKER=rust-lld
ARG TARGETARCH
RUN case "$TARGETARCH" in \
      amd64) echo x86_64-unknown-linux-musl ;; \
      arm64) echo aarch64-unknown-linux-musl ;; \
      *) echo "no build for architecture '$TARGETARCH': amd64 or arm64" >&2; exit 1 ;; \
    esac >/target \
 && rustup target add "$(cat /target)"
WORKDIR /src
# The dependencies, in a layer that changes only with Cargo.toml and Cargo.lock.
# Every target that Cargo.toml names has to be there; the tests' are not built.
COPY Cargo.toml Cargo.lock ./
# hadolint ignore=SC2013
RUN for file in $(sed -n 's/^path = "\(.*\)"$/\1/p' Cargo.toml); do \
      mkdir -p "${file%/*}" && echo 'fn main() {}' >"$file" || exit; \
    done \
 && touch src/lib.rs \
 && cargo auditable build --release --locked --target "$(cat /target)"
COPY src src
# What `--version` says of the commit; there is no git in here to ask.
ARG REVISION=
RUN touch src/lib.rs src/main.rs \
 && GUARDIAN_COMMIT="$REVISION" cargo auditable build --release --locked --target "$(cat /target)" \
 && install -D "target/$(cat /target)/release/guardian" /out/usr/local/bin/guardian \
 && install -D -m 644 /etc/ssl/certs/ca-certificates.crt /out/etc/ssl/certs/ca-certificates.crt \
 # The state folder: for the user below, and for the arbitrary user with group 0 that OpenShift takes.
 && install -d -m 2770 -o 65532 -g 0 /out/var/lib/guardian

# Only the binary: `docker buildx build --target binary --output DIR .` writes it out.
FROM scratch AS binary
COPY --from=build /out/usr/local/bin/guardian /guardian

FROM scratch
ARG VERSION=dev
ARG REVISION=unknown
LABEL org.opencontainers.image.title="connector-guardian" \
      org.opencontainers.image.description="Restarts failed Kafka Connect connectors and tasks, and knows when to stop trying" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
COPY --from=build /out /
ENV PATH=/usr/local/bin
# A state file for each cluster, named after it, unless GUARDIAN_STATE says otherwise.
ENV STATE_DIRECTORY=/var/lib/guardian
VOLUME /var/lib/guardian
# Numeric: `runAsNonRoot` cannot check a name, and there is no /etc/passwd.
USER 65532:65532
ENTRYPOINT ["guardian"]
CMD ["run", "--once"]
