"""libvirt-dbus, unmodified, on a bus of its own: dbus.py SOCKET FOLDER DOMAIN

Run by tests/qemu_door_clients.rs in a mount namespace of its own: libvirt-dbus knows only qemu:///system, so SOCKET is
put, with its folder, where that is looked for. Prints what D-Bus said; the domain runs before and afterwards.
"""

import os
import shutil
import subprocess
import sys
import time

socket, folder, domain = sys.argv[1:]
LIMIT = 30.0

BUS = """<busconfig>
  <type>system</type>
  <listen>unix:path={0}/bus</listen>
  <auth>EXTERNAL</auth>
  <policy context="default">
    <allow send_destination="*" eavesdrop="true"/>
    <allow eavesdrop="true"/>
    <allow own="*"/>
  </policy>
</busconfig>
"""


def until(what, ask):
    end = time.monotonic() + LIMIT
    while True:
        answer = ask()
        if answer:
            return answer
        if time.monotonic() > end:
            sys.exit(f"{what}: not within {LIMIT} s")
        time.sleep(0.02)


def send(path, member, *arguments):
    command = ["dbus-send", "--system", "--print-reply=literal", "--dest=org.libvirt", path, f"org.libvirt.{member}"]
    return subprocess.run([*command, *arguments], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)


def said(path, member, *arguments):
    run = send(path, member, *arguments)
    text = " ".join(run.stdout.split())
    print(f"{member}: {run.returncode}: {text}")
    return text


def main():
    subprocess.run(["mount", "-t", "tmpfs", "-o", "mode=755", "covirt", "/run"], check=True)
    os.makedirs("/run/libvirt")
    # As docs/adopt.md has it: the folder, so that a socket made anew is found.
    subprocess.run(["mount", "--bind", os.path.dirname(socket), "/run/libvirt"], check=True)
    os.makedirs(folder, exist_ok=True)
    with open(f"{folder}/bus.conf", "w", encoding="utf-8") as file:
        file.write(BUS.format(folder))
    if os.path.exists(f"{folder}/bus"):
        os.unlink(f"{folder}/bus")
    os.environ["DBUS_SYSTEM_BUS_ADDRESS"] = f"unix:path={folder}/bus"
    program = shutil.which("libvirt-dbus")
    os.environ["VIRT_DBUS_INTERFACES_DIR"] = os.path.join(os.path.dirname(program), "../share/dbus-1/interfaces")
    log = open(f"{folder}/log", "w", encoding="utf-8")
    heard = open(f"{folder}/signals", "w+", encoding="utf-8")

    def start(*command, out=log):
        return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=log)

    qemu = "/org/libvirt/QEMU"
    started = [start("dbus-daemon", f"--config-file={folder}/bus.conf", "--nofork", "--nopidfile")]
    try:
        until("the bus", lambda: os.path.exists(f"{folder}/bus"))
        started.append(start("dbus-monitor", "--system", "type='signal',interface='org.libvirt.Connect'", out=heard))
        started.append(start(program, "--system"))
        until("libvirt-dbus", lambda: send(qemu, "Connect.GetCapabilities").returncode == 0)
        path = said(qemu, "Connect.DomainLookupByName", f"string:{domain}")
        if path not in said(qemu, "Connect.ListDomains", "uint32:0"):
            sys.exit(f"{path} is not in the list")
        said(qemu, "Connect.DomainLookupByName", "string:no-such-domain")
        said(qemu, "Connect.GetCapabilities")
        for member in ("Suspend", "Resume"):
            said(path, f"Domain.{member}")
            said(path, "Domain.GetState", "uint32:0")
        said(path, "Domain.GetXMLDesc", "uint32:0")
        # Refused on both ways, in other words where a door knows the state before libvirt is asked.
        print(send(path, "Domain.Resume").stdout.split()[:2])

        def signals():
            heard.seek(0)
            return heard.read()

        # Suspended and resumed, as VIR_DOMAIN_EVENT_SUSPENDED and _RESUMED.
        until("the signals", lambda: signals().count("member=DomainEvent") >= 2)
        numbers = [line.strip() for line in signals().splitlines() if line.startswith(("   int32", "   object path"))]
        print("signals:", numbers)
    finally:
        for process in reversed(started):
            process.kill()
            process.wait()


main()
