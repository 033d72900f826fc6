#!/usr/bin/env python3
"""Process 1 of a private libvirtd's namespaces; started by private-libvirtd.sh, never by hand.

    libvirtd_supervisor.py serve DIR [TREE]  set the namespaces up, run libvirtd, obey DIR/control
    libvirtd_supervisor.py ask DIR COMMAND   send one command, print the reply, exit 0 when it was obeyed

With TREE, an unpacked Debian of tools/libvirt-env.sh, it is that one's libvirtd, and the programs it starts are that one's.
COVIRT_DAEMON is libvirtd or virtqemud; the socket is libvirtd's in either case.

Commands: ping, kill9 (SIGKILL libvirtd and leave it down), start, restart (SIGTERM, then start), stop (end everything).

Being process 1 of a PID namespace gives three things: every QEMU that libvirtd lets go of becomes our child and is
reaped at once (libvirt waits for that on destroy); a libvirtd that is killed leaves its QEMUs running, as on a real
host; and when this process ends, by whatever cause, the kernel ends everything that was started below it.
"""

import os
import select
import signal
import socket
import subprocess
import sys
import time

START_SECONDS = 60.0
STOP_SECONDS = 20.0
# What libvirt finds at its usual places, and which of our folders it really is.
FOLDERS = {
    "etc": "/etc/libvirt",
    "run": "/run/libvirt",
    "lib": "/var/lib/libvirt",
    "log": "/var/log/libvirt",
    "cache": "/var/cache/libvirt",
}
# The host's system bus and service manager: libvirt would register our guests with the host's machined by PIDs that
# mean something else there, and would let the host's firewalld edit the host's rules.
HIDDEN = ["/run/dbus", "/run/systemd"]
# What of an unpacked Debian is used as it is.
PROGRAMS = ["usr", "etc", "bin", "sbin", "lib", "lib64"]


def sh(*args):
    subprocess.run(args, check=True, stdin=subprocess.DEVNULL)


def add_accounts(folder):
    """libvirt insists that the account exists which it was built to run QEMU as, also when told to use another."""
    for table, entry in (("passwd", "libvirt-qemu:x:64055:64055::/nonexistent:/usr/sbin/nologin"),
                         ("group", "libvirt-qemu:x:64055:")):
        with open(f"/etc/{table}", encoding="utf-8") as file:
            lines = file.read()
        if "\nlibvirt-qemu:" not in lines:
            ours = os.path.join(folder, table)
            with open(ours, "w", encoding="utf-8") as file:
                file.write(lines.rstrip("\n") + "\n" + entry + "\n")
            sh("mount", "--bind", ours, f"/etc/{table}")


def bind_folders(folder, root=""):
    for name, place in FOLDERS.items():
        os.makedirs(root + place, exist_ok=True)
        sh("mount", "--bind", os.path.join(folder, name), root + place)


def make_root(folder, tree):
    """A root for libvirtd of an unpacked Debian's programs, our folders, and what every process needs."""
    root = os.path.join(folder, "root")
    os.makedirs(root, exist_ok=True)
    sh("mount", "-t", "tmpfs", "-o", "mode=755", "covirt", root)
    for name in PROGRAMS:
        source, place = os.path.join(tree, name), os.path.join(root, name)
        if os.path.islink(source):
            os.symlink(os.readlink(source), place)
        elif os.path.isdir(source):
            os.mkdir(place)
            sh("mount", "--bind", source, place)
            sh("mount", "-o", "remount,ro,bind", place)
    for name, kind in (("proc", "proc"), ("sys", "sysfs"), ("tmp", "tmpfs")):
        os.mkdir(os.path.join(root, name))
        sh("mount", "-t", kind, kind, os.path.join(root, name))
    os.mkdir(os.path.join(root, "dev"))
    sh("mount", "--rbind", "/dev", os.path.join(root, "dev"))
    bind_folders(folder, root)
    # Under the same name as outside, for what guests are given.
    os.makedirs(root + folder)
    sh("mount", "--bind", folder, root + folder)


def set_up(folder, tree):
    sh("mount", "--make-rprivate", "/")
    for place in HIDDEN:
        if os.path.isdir(place):
            sh("mount", "-t", "tmpfs", "-o", "mode=755", "covirt", place)
    if tree is None:
        bind_folders(folder)
        add_accounts(folder)
    # /sys/class/net shows the network namespace that mounted it; bridges are set up through it.
    sh("mount", "-t", "sysfs", "sysfs", "/sys")
    sh("ip", "link", "set", "lo", "up")
    if os.path.exists("/dev/kvm") and os.environ["COVIRT_KVM"] == "no":
        # Read-only too: root opens a mode-000 file, and libvirt would then probe every QEMU anew at each look-up.
        decoy = os.path.join(folder, "no-kvm")
        with open(decoy, "w", encoding="ascii"):
            pass
        os.chmod(decoy, 0)
        sh("mount", "--bind", decoy, "/dev/kvm")
        sh("mount", "-o", "remount,ro,bind", "/dev/kvm")
    with open(os.path.join(folder, "hostname"), encoding="ascii") as file:
        socket.sethostname(file.read().strip())
    if tree is not None:
        make_root(folder, tree)


class Supervisor:
    def __init__(self, folder, tree):
        self.folder = folder
        self.daemon = os.environ["COVIRT_DAEMON"]
        self.socket = os.path.join(folder, "run", "libvirt-sock")
        self.enter = [] if tree is None else ["chroot", os.path.join(folder, "root")]
        self.libvirtd = None
        # Signals arrive as bytes on a pipe, so that one select() waits for everything.
        self.wake_read, wake_write = os.pipe()
        os.set_blocking(self.wake_read, False)
        os.set_blocking(wake_write, False)
        signal.set_wakeup_fd(wake_write, warn_on_full_buffer=False)
        for number in (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: None)
        self.control = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.control.bind(os.path.join(folder, "control"))
        self.control.listen(8)

    def reap(self):
        while True:
            try:
                pid, _ = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            if pid == self.libvirtd:
                self.libvirtd = None

    def drain(self):
        """Take what signals left on the pipe; True when one of them asks us to end."""
        try:
            signals = os.read(self.wake_read, 4096)
        except BlockingIOError:
            signals = b""
        self.reap()
        return signal.SIGTERM in signals or signal.SIGINT in signals

    def wait_gone(self, seconds):
        deadline = time.monotonic() + seconds
        while self.libvirtd is not None and time.monotonic() < deadline:
            select.select([self.wake_read], [], [], max(0.0, deadline - time.monotonic()))
            if self.drain():
                sys.exit(0)
        return self.libvirtd is None

    def start(self):
        if self.libvirtd is not None:
            return "ok already running"
        # A socket that a killed libvirtd left behind would only refuse; libvirtd makes its own anew.
        if os.path.lexists(self.socket):
            os.unlink(self.socket)
        if self.daemon != "libvirtd":
            os.symlink(f"{self.daemon}-sock", self.socket)
        log = os.open(os.path.join(self.folder, "log", "libvirtd.out"), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        environment = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8",
                       "HOME": "/", "DBUS_SYSTEM_BUS_ADDRESS": "unix:path=/run/libvirt/no-such-bus"}
        daemon = self.enter + [self.daemon, "-p", "/run/libvirt/libvirtd.pid"]
        child = subprocess.Popen(daemon, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)
        os.close(log)
        self.libvirtd = child.pid
        child.returncode = 0  # reaped by reap(), not by this object
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            probe = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            try:
                probe.connect(self.socket)
                return "ok"
            except OSError:
                # Nothing announces a socket file; a child's death wakes us at once.
                select.select([self.wake_read], [], [], 0.02)
            finally:
                probe.close()
            if self.drain():
                sys.exit(0)
            if self.libvirtd is None:
                return "failed: libvirtd ended while starting"
        return "failed: libvirtd did not open its socket in time"

    def end(self, number, seconds):
        if self.libvirtd is None:
            return True
        os.kill(self.libvirtd, number)
        return self.wait_gone(seconds)

    def obey(self, command):
        if command == "ping":
            return "ok" if self.libvirtd is not None else "ok libvirtd is down"
        if command == "kill9":
            return "ok" if self.end(signal.SIGKILL, STOP_SECONDS) else "failed: libvirtd survived SIGKILL"
        if command == "start":
            return self.start()
        if command == "restart":
            if not self.end(signal.SIGTERM, STOP_SECONDS) and not self.end(signal.SIGKILL, STOP_SECONDS):
                return "failed: libvirtd survived SIGKILL"
            return self.start()
        return f"failed: unknown command '{command}'"

    def serve(self):
        watched = [self.wake_read, self.control]
        if os.environ["COVIRT_LIFELINE"] == "yes":
            watched.append(sys.stdin)
        while True:
            ready, _, _ = select.select(watched, [], [])
            if self.drain():
                return
            if sys.stdin in ready and not os.read(sys.stdin.fileno(), 4096):
                return  # whoever started us is gone
            if self.control not in ready:
                continue
            client, _ = self.control.accept()
            with client:
                client.settimeout(5)
                try:
                    command = client.recv(64).decode("ascii", "replace").strip()
                    if command == "stop":
                        # libvirtd first, politely, so that its files are whole for whoever reads them afterwards.
                        self.end(signal.SIGTERM, STOP_SECONDS)
                        return
                    client.sendall((self.obey(command) + "\n").encode())
                except OSError:
                    pass  # the asker went away; what it asked for was done all the same


def serve(folder, tree):
    set_up(folder, tree)
    supervisor = Supervisor(folder, tree)
    answer = supervisor.start()
    with os.fdopen(3, "w", encoding="ascii") as starter:
        starter.write(answer + "\n")
    if answer == "ok":
        supervisor.serve()


def ask(folder, command):
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as control:
            control.settimeout(START_SECONDS + 2 * STOP_SECONDS)
            control.connect(os.path.join(folder, "control"))
            control.sendall(command.encode("ascii") + b"\n")
            answer = control.makefile(encoding="utf-8").readline().strip()
    except OSError as error:
        sys.exit(f"private-libvirtd: {folder}: {error.strerror or error}")
    if command == "stop":
        return
    if not answer.startswith("ok"):
        sys.exit(f"private-libvirtd: {command}: {answer or 'the supervisor ended'}")


if __name__ == "__main__":
    if len(sys.argv) in (3, 4) and sys.argv[1] == "serve":
        serve(sys.argv[2], sys.argv[3] if len(sys.argv) == 4 else None)
    elif len(sys.argv) == 4 and sys.argv[1] == "ask":
        ask(sys.argv[2], sys.argv[3])
    else:
        sys.exit(__doc__)
