"""The binary that tests/deploy/packages has built, and its packages: what is in them, and what they do to a machine."""

import os
import pathlib
import re
import shutil
import struct
import subprocess
import tempfile
import textwrap

import pytest
from conftest import DEPLOY, TOP, VERSION, run

BINARY = pathlib.Path(os.environ["GUARDIAN_INSTALLED"]) / "bin/guardian"
ARCH = {"x86_64": "amd64", "aarch64": "arm64"}[os.uname().machine]
RPM = {"amd64": "x86_64", "arm64": "aarch64"}
PAGES = ["", "-history", "-hold", "-notify", "-release", "-reset", "-retry", "-run", "-schedule", "-status"]
FILES = {
    "/usr/bin/guardian": "-rwxr-xr-x",
    "/usr/bin/guardian-for": "-rwxr-xr-x",
    "/usr/lib/systemd/system/guardian.service": "-rw-r--r--",
    "/usr/lib/systemd/system/guardian.timer": "-rw-r--r--",
    "/etc/guardian/guardian.env": "-rw-r-----",
    "/usr/share/bash-completion/completions/guardian": "-rw-r--r--",
    "/usr/share/fish/vendor_completions.d/guardian.fish": "-rw-r--r--",
    **{f"/usr/share/man/man1/guardian{page}.1.gz": "-rw-r--r--" for page in PAGES},
    "/usr/share/doc/connector-guardian/README.md": "-rw-r--r--",
    "/usr/share/doc/connector-guardian/copyright": "-rw-r--r--",
    "/usr/share/doc/connector-guardian/examples/cron/connector-guardian": "-rw-r--r--",
    "/usr/share/doc/connector-guardian/examples/cron/guardian-for": "-rwxr-xr-x",
}


def build(tree, out, arch=ARCH, *version):
    """(deb, rpm) of a tree."""
    environment = os.environ | {"SOURCE_DATE_EPOCH": "1700000000"}
    done = run(tree / "deploy/packages/build", BINARY, arch, out, *version, env=environment)
    deb, rpm = map(pathlib.Path, done.stdout.split())
    return deb, rpm


def rpm(*args):
    # Debian keeps its database of rpms in the home folder, even for a question that needs none.
    with tempfile.TemporaryDirectory() as folder:
        return run("rpm", "--dbpath", folder, *args)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Of this tree; of an older version; and of one that ships other settings."""
    folder = tmp_path_factory.mktemp("packages")
    tree = folder / "tree"
    tree.mkdir()
    shutil.copytree(DEPLOY, tree / "deploy")
    for name in "Cargo.toml", "README.md":
        shutil.copy(TOP / name, tree)
    with (tree / "deploy/guardian.env").open("a") as settings:
        settings.write("GUARDIAN_NEW=1\n")
    return {"now": build(TOP, folder), "old": build(TOP, folder, ARCH, "0.9.0"), "later": build(tree, folder, ARCH, "99.0.0")}


# --- the binary ---


def test_cargo_install_brings_one_static_binary():
    assert [p.name for p in BINARY.parent.iterdir()] == ["guardian"]
    elf = BINARY.read_bytes()
    offset, = struct.unpack_from("<Q", elf, 32)
    size, count = struct.unpack_from("<HH", elf, 54)
    kinds = {struct.unpack_from("<I", elf, offset + i * size)[0] for i in range(count)}
    assert 3 not in kinds, "it asks for a dynamic linker"
    commit = run("git", "rev-parse", "--short=12", "HEAD", cwd=TOP).stdout.strip()
    assert run(BINARY, "--version").stdout == f"guardian {VERSION} ({commit}, {os.uname().machine}-unknown-linux-musl)\n"


# --- what is in the packages ---


def test_files_of_the_deb(made):
    listed = {}
    for line in run("dpkg-deb", "--contents", made["now"][0]).stdout.splitlines():
        mode, owner, _, _, _, name = line.split(None, 5)
        assert owner == "root/root", line
        if not mode.startswith("d"):
            listed[name.removeprefix(".")] = mode
    assert listed == FILES | {"/usr/share/zsh/vendor-completions/_guardian": "-rw-r--r--"}


def test_files_of_the_rpm(made):
    said = rpm("-qp", "--qf", "[%{FILENAMES} %{FILEMODES:perms} %{FILEUSERNAME}:%{FILEGROUPNAME}\n]", made["now"][1]).stdout
    listed = {}
    for line in said.splitlines():
        name, mode, owner = line.split()
        assert owner == "root:root", line
        if not mode.startswith("d"):
            listed[name] = mode
    assert listed == FILES | {"/usr/share/zsh/site-functions/_guardian": "-rw-r--r--"}
    assert rpm("-qpc", made["now"][1]).stdout.split() == ["/etc/guardian/guardian.env"]
    # Nothing that only a Fedora or only a Debian has.
    needs = rpm("-qpR", made["now"][1]).stdout.split("\n")
    assert {n for n in needs if n and not n.startswith("rpmlib(")} == {"/bin/sh"}


def test_both_architectures(made, tmp_path):
    for arch in RPM:
        deb, package = build(TOP, tmp_path, arch)
        assert deb.name == f"connector-guardian_{VERSION}_{arch}.deb" and package.name == f"connector-guardian-{VERSION}-1.{RPM[arch]}.rpm"
        assert run("dpkg-deb", "--field", deb, "Architecture").stdout.strip() == arch
        assert rpm("-qp", "--qf", "%{ARCH} %{OS}", package).stdout == f"{RPM[arch]} linux"
        if arch == ARCH:
            assert (deb.read_bytes(), package.read_bytes()) == tuple(p.read_bytes() for p in made["now"]), "not the same bytes twice"


# --- completions and man pages ---


def test_completions_are_understood():
    folder = DEPLOY / "completions"
    ask = 'source "$0"; COMP_WORDS=(guardian "$@"); COMP_CWORD=$#; _guardian guardian "${@: -1}" "${@: -2:1}"; printf "%s\\n" "${COMPREPLY[@]}"'
    for shell, command in {
        "bash": lambda *words: ["bash", "-c", ask, folder / "guardian.bash", *words],
        "fish": lambda *words: ["fish", "--no-config", "-c", f"source {folder}/guardian.fish; complete -C 'guardian {' '.join(words)}'"],
    }.items():
        offered = {line.split("\t")[0] for line in run(*command("re")).stdout.splitlines()}
        assert offered == {"release", "reset", "retry"}, shell
        offered = {line.split("\t")[0] for line in run(*command("run", "--log-level", "")).stdout.splitlines()}
        assert offered == {"error", "warn", "info", "debug", "trace"}, shell
    run("zsh", "-fc", f"fpath=({folder} $fpath); autoload -Uz compinit; compinit -D -u; (( $+_comps[guardian] )) && zsh -n {folder}/_guardian")


def test_man_pages_are_clean():
    found = run("mandoc", "-T", "lint", "-W", "warning", *sorted((DEPLOY / "man").iterdir()), check=False).stdout
    # No date: it would change a page that says the same.
    assert not [line for line in found.splitlines() if "WARNING: missing date" not in line], found


# --- what they do to a machine ---

# Its own mounts: what is installed here is in a layer above this machine's files, and gone afterwards.
SANDBOX = """
set -eu
root=$1
for folder in etc usr var; do
  mkdir -p "$root/up/$folder" "$root/scratch/$folder"
  mount -t overlay overlay -o "lowerdir=/$folder,upperdir=$root/up/$folder,workdir=$root/scratch/$folder" "/$folder"
done
rm -rf /etc/guardian /var/lib/guardian /var/lib/private/guardian /etc/systemd/system/guardian.*
mount -t tmpfs tmpfs /run
set -x
. "$root/then"
"""
# What is looked for on the machine; each is a shell function that fails where it is not so.
CHECKS = """
enabled() { [ -L /etc/systemd/system/timers.target.wants/guardian.timer ]; }
edited() { grep -qx MAX_RESTART=3 /etc/guardian/guardian.env && ! grep -q GUARDIAN_NEW /etc/guardian/guardian.env; }
gone() { for file; do [ ! -e "$file" ] && [ ! -L "$file" ] || return 1; done; }
not() { ! "$@"; }
edit() { sed -i 's/^MAX_RESTART=7$/MAX_RESTART=3/' /etc/guardian/guardian.env; }
remember() { mkdir -p /var/lib/private/guardian; echo '{}' >/var/lib/private/guardian/state.json; ln -s private/guardian /var/lib/guardian; }
"""
INSTALLED = f"""
[ "$(guardian --version)" = "$(/usr/bin/guardian --version)" ]
not enabled
status=0; guardian-for || status=$?; [ "$status" = 2 ]
grep -q /usr/bin/guardian /usr/bin/guardian-for; not grep -rq /usr/local/bin/guardian /usr/bin/guardian-for /usr/lib/systemd/system/guardian.service
systemd-analyze verify --man=no /usr/lib/systemd/system/guardian.service /usr/lib/systemd/system/guardian.timer 2>/run/verify
not grep guardian /run/verify
[ "$(guardian --version | cut -d ' ' -f 2)" = {VERSION} ]
"""


@pytest.fixture
def machine(tmp_path):
    if os.geteuid() != 0:
        pytest.skip("needs root, to install a package")
    # overlayfs takes no overlay as its upper layer, and /tmp may be one
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", tmp_path], check=True)

    def machine(then):
        (tmp_path / "then").write_text(CHECKS + textwrap.dedent(then))
        (tmp_path / "sandbox").write_text(SANDBOX)
        done = run("unshare", "--mount", "--pid", "--fork", "--kill-child", "sh", tmp_path / "sandbox", tmp_path, stdin=subprocess.DEVNULL, timeout=300)
        return re.sub(r"^\+.*\n", "", done.stderr, flags=re.M)

    yield machine
    subprocess.run(["umount", "-l", tmp_path], check=False)


def test_the_deb_from_its_install_to_its_purge(made, machine):
    old, now, later = (made[name][0] for name in ("old", "now", "later"))
    machine(f"""
        dpkg -i {old}
        {textwrap.indent(INSTALLED, " " * 8)}
        edit; remember; systemctl enable guardian.timer; enabled
        dpkg -i {now}
        edited; enabled
        # As apt does it where nobody can be asked.
        dpkg -i --force-confdef --force-confold {later}
        edited; enabled; grep -qx GUARDIAN_NEW=1 /etc/guardian/guardian.env.dpkg-dist

        dpkg -r connector-guardian
        gone /usr/bin/guardian /usr/bin/guardian-for /usr/lib/systemd/system/guardian.timer
        edited; not enabled; [ -f /var/lib/guardian/state.json ]
        dpkg -i {later}
        edited; not enabled; [ -f /var/lib/guardian/state.json ]

        dpkg -P connector-guardian
        gone /etc/guardian /var/lib/guardian /var/lib/private/guardian /usr/bin/guardian
        gone /usr/share/doc/connector-guardian /usr/share/man/man1/guardian-run.1.gz
        not dpkg -s connector-guardian
    """)


def test_a_purge_leaves_what_is_not_the_packages(made, machine):
    machine(f"""
        dpkg -i {made["now"][0]}
        mkdir -p /var/lib/private/guardian-orders; touch /var/lib/private/guardian-orders/state.json /etc/guardian/guardian-orders.env
        dpkg -P connector-guardian
        [ -f /var/lib/private/guardian-orders/state.json ] && [ -f /etc/guardian/guardian-orders.env ]
    """)


def test_the_rpm_from_its_install_to_its_end(made, machine):
    """By rpm on Debian: its own programs and scripts run, what a Fedora would add to them does not."""
    old, now, later = (made[name][1] for name in ("old", "now", "later"))
    # A database within the sandbox; it knows nothing of /bin/sh.
    rpm = "rpm --dbpath /var/lib/rpm --force-debian --nodeps"
    machine(f"""
        {rpm} -i {old}
        {textwrap.indent(INSTALLED, " " * 8)}
        edit; remember; systemctl enable guardian.timer; enabled
        {rpm} -U {now}
        edited; enabled
        {rpm} -U {later}
        edited; enabled; grep -qx GUARDIAN_NEW=1 /etc/guardian/guardian.env.rpmnew

        {rpm} -e connector-guardian
        gone /usr/bin/guardian /usr/bin/guardian-for /usr/lib/systemd/system/guardian.timer /etc/guardian/guardian.env
        grep -qx MAX_RESTART=3 /etc/guardian/guardian.env.rpmsave
        not enabled; [ -f /var/lib/guardian/state.json ]
    """)
