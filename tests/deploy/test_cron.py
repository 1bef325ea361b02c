"""What the README says of cron, done: under Debian's real cron, with a sendmail that keeps the mails, and by hand."""

import os
import pathlib
import shutil
import subprocess
import textwrap
import time

import pytest
from conftest import DEPLOY, blocks
from fake_connect import FakeConnect, no_connect

# Lines of an env file, and what guardian gets of them: what systemd would give it.
READ = [
    ("A=b", "b"),
    ("# a comment\n\n  ; another\nA=b", "b"),
    ("A=b\r\nB=c", "b"),
    ("A = b \t", "b"),
    ("A=", ""),
    ("A=b=c", "b=c"),
    ("A=b c", "b c"),
    ('A="b c "', "b c "),
    ("A='b c '", "b c "),
    ('A=""', ""),
    ("A=it's", "it's"),
    ("A='b\\p'", "b\\p"),
    ("A=b # no comment", "b # no comment"),
    ("A=b\nA=c", "c"),
    # A shell would print, run or write these: pforret/setver#12, getferdi/server-docker#12, direnv#934, paperless-ngx#8118.
    ("A=s3cr$etpart", "s3cr$etpart"),
    ("A=se&touch cretpart", "se&touch cretpart"),
    ("A=ab>cd", "ab>cd"),
    ("A=ab$$cd`touch cretpart`$(touch cretpart)", "ab$$cd`touch cretpart`$(touch cretpart)"),
    ('A="$HOME"', "$HOME"),
    ("A=*", "*"),
    ("A=-n", "-n"),
    ("1=b", "has no variable's name before its ="),
    ("=cretpart", "has no variable's name before its ="),
    ("cretpart;x=y", "has no variable's name before its ="),
    ("cretpart", "is not of the form NAME=value"),
    ("\ufeffA=cretpart", "has no variable's name before its ="),
    # systemd ignores it: garethr/garethr-docker#264.
    ("export A=cretpart", "begins with export: write NAME=value alone"),
    ('A="cretpart', "has a quote that does not end with the line"),
    ('A="', "has a quote that does not end with the line"),
    ("A='cret' 'part'", "has a quote within quotes"),
    ('A="cretpart" # x', "has a quote that does not end with the line"),
    # systemd takes it away: systemd/systemd#8857.
    ("A=s7@o8\\p", "has a backslash, which systemd would take away: put the value in single quotes"),
    ('A="cret\\part"', "has a backslash, which systemd would take away: put the value in single quotes"),
    ("# cretpart \\", "is a comment that ends with a backslash, for which systemd would pass over the next line"),
]


@pytest.mark.parametrize("shell", [shell for shell in ("sh", "dash", "bash --posix", "busybox sh") if shutil.which(shell.split()[0])])
@pytest.mark.parametrize("lines, gets", READ)
def test_an_env_file_is_read_as_systemd_reads_it(tmp_path, shell, lines, gets):
    script = (DEPLOY / "cron/guardian-for").read_text()
    (tmp_path / "guardian-for").write_text(script.replace("/etc/guardian/", f"{tmp_path}/"))
    (tmp_path / "bin").mkdir()
    for name, body in [("id", "echo 1000"), ("guardian", 'env -0; printf "%s\\0" "$@"')]:
        (tmp_path / "bin" / name).write_text(f"#!/bin/sh\n{body}\n")
        (tmp_path / "bin" / name).chmod(0o755)
    # `name` is no word of the script's own.
    head = "name=other\nZ=first\n"
    (tmp_path / "orders.env").write_text(head + lines, newline="")
    environment = {"PATH": f"{tmp_path}/bin:{os.environ['PATH']}", "A": "unset"}
    files = sorted(tmp_path.iterdir())
    done = subprocess.run([*shell.split(), "guardian-for", "orders", "run", "a b"], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert sorted(tmp_path.iterdir()) == files, "a value was run"
    if done.returncode == 2:
        number = 2 + lines.count("\n") + 1
        assert done.stderr == f"guardian-for: line {number} of {tmp_path}/orders.env {gets}\n"
        assert done.stdout == ""
        return
    assert (done.returncode, done.stderr) == (0, ""), done
    *variables, first, second, _ = done.stdout.split("\0")
    got = dict(v.split("=", 1) for v in variables)
    assert (got["A"], got["Z"], got["GUARDIAN_CLUSTER"]) == (gets, "first", "orders")
    assert got["GUARDIAN_STATE"] == "/var/lib/guardian/orders.json"
    assert (first, second) == ("run", "a b")


# Its own mounts and processes: the real /etc/cron.d, mail program and crontabs of this machine are not touched.
SANDBOX = """
set -eu
root=$1
for folder in etc usr/sbin usr/local/bin var; do
  mkdir -p "$root/up/$folder" "$root/scratch/$folder"
  mount -t overlay overlay -o "lowerdir=/$folder,upperdir=$root/up/$folder,workdir=$root/scratch/$folder" "/$folder"
done
rm -rf /etc/cron.d /etc/crontab /var/spool/cron/crontabs /etc/guardian /var/lib/guardian
! getent passwd guardian >/dev/null || userdel guardian
mkdir -p /etc/cron.d /var/spool/cron/crontabs
mount -t tmpfs tmpfs /run
: >/etc/crontab
install -m 755 "$root/sendmail" /usr/sbin/sendmail
(cd "$root/tree" && bash -eu "$root/install")
for file in "$root"/edited/*; do
  to=/etc/guardian/${file##*/}
  [ -e "$to" ] || install -m 640 -g guardian /dev/null "$to"
  cat "$file" >"$to"
done
cat "$root/cron.d" >/etc/cron.d/connector-guardian
. "$root/then"
"""

*INSTALL, BY_HAND, SECOND = blocks("deploy/README.md", "## cron")
INSTALL.append(SECOND)
CRONTAB = (DEPLOY / "cron/connector-guardian").read_text()


def settings(url, *more):
    text = (DEPLOY / "guardian.env").read_text().replace("http://localhost:8083", url)
    return text + "".join(f"{line}\n" for line in more)


@pytest.fixture
def machine(tmp_path, guardian):
    if os.geteuid() != 0:
        pytest.skip("needs root, for a cron of its own")
    if not shutil.which("cron"):
        if not shutil.which("apt-get"):
            pytest.skip("cron is not installed, and there is no apt-get")
        subprocess.run("apt-get update -qq && apt-get install -y -qq --no-install-recommends cron", shell=True, check=True, capture_output=True)
    # overlayfs takes no overlay as its upper layer, and /tmp may be one
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", tmp_path], check=True)
    shutil.copytree(DEPLOY, tmp_path / "tree/deploy")
    (tmp_path / "tree/target/release").mkdir(parents=True)
    shutil.copy(guardian, tmp_path / "tree/target/release/guardian")
    (tmp_path / "install").write_text("".join(INSTALL))
    mails = tmp_path / "mails"
    mails.mkdir(mode=0o777)
    mails.chmod(0o777)
    tmp_path.chmod(0o755)
    for parent in tmp_path.parents:
        if parent != pathlib.Path("/"):
            parent.chmod(parent.stat().st_mode | 0o111)
    (tmp_path / "sendmail").write_text(f'#!/bin/sh\nexec cat >"$(mktemp {mails}/XXXXXX)"\n')
    processes = []

    def start(edited, crontab=CRONTAB, then="exec cron -f -L 15"):
        (tmp_path / "cron.d").write_text(crontab)
        (tmp_path / "then").write_text(then)
        (tmp_path / "edited").mkdir()
        for name, text in edited.items():
            (tmp_path / "edited" / name).write_text(text)
        (tmp_path / "sandbox").write_text(SANDBOX)
        processes.append(subprocess.Popen(["unshare", "--mount", "--pid", "--fork", "--kill-child", "sh", tmp_path / "sandbox", tmp_path]))
        return tmp_path, processes[-1]

    yield start
    for process in processes:
        process.kill()  # unshare waits out a SIGTERM; cron goes with it
        process.wait()
    subprocess.run(["umount", "-l", tmp_path], check=False)


def wait_for(what, seconds):
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end, f"did not come within {seconds} s"
        time.sleep(0.5)


def test_no_mail_when_healthy_one_line_when_not(machine):
    # The file as it is shipped, but each minute, and with its example of a second cluster and two more.
    crontab = CRONTAB.replace("*/5 ", "* ").replace("#* ", "* ")
    crontab += "* * * * *  guardian  guardian-for gone run --once --quiet\n"
    crontab += "* * * * *  guardian  guardian-for typo run --once --quiet\n"
    with FakeConnect({"a": ["RUNNING"]}) as healthy, FakeConnect() as failing, no_connect() as gone:
        root, _ = machine({"guardian.env": settings(healthy.url), "orders.env": settings(failing.url), "gone.env": settings(gone)}, crontab)
        mails = root / "mails"
        wait_for(lambda: len(list(mails.iterdir())) >= 3 and healthy.requests, 130)
        time.sleep(2)  # a fourth mail would be wrong
        texts = [m.read_text() for m in mails.iterdir()]
    bodies = {}
    for text in texts:
        head, body = text.split("\n\n", 1)
        name = next(line for line in head.splitlines() if line.startswith("Subject:")).split("guardian-for ")[1].split()[0]
        assert name not in bodies, f"two mails of {name}"
        bodies[name] = body.strip().splitlines()
    shown = textwrap.indent("\n".join(texts), "  ")
    assert set(bodies) == {"orders", "gone", "typo"}, shown
    assert len(bodies["orders"]) == 1 and "orders-sink" in bodies["orders"][0], shown
    assert len(bodies["gone"]) == 1 and gone.split("//")[1] in bodies["gone"][0], shown
    assert len(bodies["typo"]) == 1 and "/etc/guardian/typo.env" in bodies["typo"][0], shown
    assert failing.restarts == ["/connectors/orders-sink/tasks/1/restart"]
    # Two clusters, two states; the healthy one needs none.
    states = {p.name for p in (root / "up/var/lib/guardian").iterdir() if p.name.endswith(".json")}
    assert "orders.json" in states and not states - {"orders.json", "gone.json"}, states


def test_by_hand_as_root_it_is_the_user_that_runs(machine):
    """Else the state would be root's, and no later run could read it."""
    later = "runuser -u guardian -- guardian-for guardian run --once\n"
    with FakeConnect() as connect:
        edited = settings(connect.url, "KAFKA_CONNECT_USER=bob", "KAFKA_CONNECT_PASS_FILE=/etc/guardian/guardian.password")
        _, process = machine({"guardian.env": edited, "guardian.password": "secret\n"}, then=BY_HAND + later)
        assert process.wait(60) == 0
    assert len(connect.restarts) == 1, "the later run has the same state"
    assert {h.get("authorization") for h in connect.headers} == {"Basic Ym9iOnNlY3JldA=="}
