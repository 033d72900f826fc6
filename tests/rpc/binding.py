"""libvirt's Python binding, unmodified, at a door: binding.py DIRECT DOOR DOMAIN FOLDER door|relay

Run by tests/qemu_door_clients.rs. DOMAIN runs, with a screen; FOLDER is empty. What is done at the door is checked on a
connection of its own directly to libvirt. `relay` leaves out what needs descriptors to pass.
"""

import hashlib
import os
import socket
import sys
import threading
import time

import libvirt

direct_uri, door_uri, name, folder, manners = sys.argv[1:]
LIMIT = 60.0
SIZE = 256 << 20

libvirt.registerErrorHandler(lambda _, error: None, None)
libvirt.virEventRegisterDefaultImpl()


def loop():
    while True:
        libvirt.virEventRunDefaultImpl()


threading.Thread(target=loop, daemon=True).start()
changed = threading.Condition()


def wait(what, is_so):
    with changed:
        if not changed.wait_for(is_so, LIMIT):
            sys.exit(f"{what}: not within {LIMIT} s")


class Listener:
    """Every kind of event that the binding knows, as text."""

    def __init__(self, connection):
        self.heard = []
        kinds = [value for key, value in vars(libvirt).items()
                 if key.startswith("VIR_DOMAIN_EVENT_ID_") and not key.endswith("_LAST")]
        for kind in sorted(kinds):
            connection.domainEventRegisterAny(None, kind, self.hear, kind)

    def hear(self, _connection, domain, *rest):
        with changed:
            # The last word is the kind, which was handed in above.
            self.heard.append((domain.name(), rest[-1], rest[:-1]))
            changed.notify_all()

    def of(self, kind):
        return [event for event in self.heard if event[0] == name and event[1] == kind]


def say(text):
    print(f"{text}: ok", flush=True)


direct, door = libvirt.open(direct_uri), libvirt.open(door_uri)
closed = []
door.registerCloseCallback(lambda _, reason, __: closed.append(reason), None)
# Were pings or pongs kept back, the connection would end within three seconds.
door.setKeepAlive(1, 2)
began = time.monotonic()
here, there = Listener(direct), Listener(door)
guest, seen = door.lookupByName(name), direct.lookupByName(name)


def calls_and_events():
    assert door.getCapabilities() == direct.getCapabilities()
    assert door.getLibVersion() == direct.getLibVersion()
    assert guest.UUIDString() == seen.UUIDString() and guest.ID() == seen.ID()
    assert guest.XMLDesc() == seen.XMLDesc()
    uuids = [sorted(domain.UUIDString() for domain in connection.listAllDomains()) for connection in (direct, door)]
    assert uuids[0] == uuids[1], uuids
    assert [domain.name() for domain, _ in door.getAllDomainStats()].count(name) == 1
    for _ in range(3):
        guest.suspend()
        assert seen.state() == [libvirt.VIR_DOMAIN_PAUSED, libvirt.VIR_DOMAIN_PAUSED_USER]
        guest.resume()
        assert seen.state()[0] == libvirt.VIR_DOMAIN_RUNNING
    guest.setMetadata(libvirt.VIR_DOMAIN_METADATA_ELEMENT, "<note/>", "n", "urn:example:binding",
                      libvirt.VIR_DOMAIN_AFFECT_LIVE)
    wait("six changes of the state", lambda: len(there.of(0)) >= 6 and len(here.of(0)) >= 6)
    metadata = libvirt.VIR_DOMAIN_EVENT_ID_METADATA_CHANGE
    wait("the metadata's change", lambda: there.of(metadata) and here.of(metadata))
    assert here.of(0) == there.of(0), (here.of(0), there.of(0))
    say("calls and events")


def errors():
    def refusal(connection, ask):
        try:
            ask(connection)
        except libvirt.libvirtError as error:
            return error.get_error_code(), error.get_error_domain(), error.get_error_level(), str(error)
        sys.exit("what is wrong was not refused")

    for ask in (lambda connection: connection.lookupByName("no-such-domain"),
                lambda connection: connection.lookupByName(name).snapshotLookupByName("no-such-snapshot"),
                lambda connection: connection.defineXML("<domain/>")):
        assert refusal(direct, ask) == refusal(door, ask), refusal(door, ask)
    # Where the state forbids a change, a door answers before libvirt is asked: the same codes, in other words.
    start = [refusal(connection, lambda connection: connection.lookupByName(name).create())
             for connection in (direct, door)]
    assert start[0][:3] == start[1][:3], start
    say("errors")


def many_threads():
    """More calls at once than libvirtd reads from one connection."""
    wrong = []

    def ask():
        for _ in range(20):
            if guest.info()[1] != seen.info()[1] or door.getHostname() != direct.getHostname():
                wrong.append(1)

    threads = [threading.Thread(target=ask) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    say("twelve threads on one connection")


def streams():
    target = os.path.join(folder, "pool")
    os.makedirs(target)
    pool = door.storagePoolCreateXML(f"<pool type='dir'><name>{name}</name><target><path>{target}</path></target></pool>")
    volume = pool.createXML(f"<volume><name>big</name><capacity>{SIZE}</capacity>"
                            "<target><format type='raw'/></target></volume>")
    # Nothing repeats within a chunk or at its borders, so that a swap or a loss shows.
    block = hashlib.shake_256(b"covirt").digest(4 << 20)
    pieces = [block[:-index or None] + block[-index:] if index else block for index in range(SIZE // len(block))]
    sent, left = hashlib.sha256(), bytearray()
    source = iter(pieces)

    def read(_stream, count, _):
        if not left:
            left.extend(next(source, b""))
        piece = bytes(left[:count])
        del left[:count]
        sent.update(piece)
        return piece

    stream = door.newStream()
    volume.upload(stream, 0, SIZE)
    stream.sendAll(read, None)
    stream.finish()
    on_disk = hashlib.sha256()
    with open(os.path.join(target, "big"), "rb") as file:
        for piece in iter(lambda: file.read(1 << 20), b""):
            on_disk.update(piece)
    assert on_disk.digest() == sent.digest(), "upload"

    came = hashlib.sha256()
    stream = door.newStream()
    volume.download(stream, 0, SIZE)
    stream.recvAll(lambda _stream, piece, _: came.update(piece), None)
    stream.finish()
    assert came.digest() == sent.digest(), "download"

    # One that is given up in the middle leaves the connection whole.
    stream = door.newStream()
    volume.download(stream, 0, SIZE)
    assert len(stream.recv(65536)) > 0
    stream.abort()
    assert door.isAlive()
    volume.delete()
    pool.destroy()
    say("256 MiB up and down")


def screenshot():
    guest.suspend()
    pictures = []
    for connection in (direct, door):
        picture = bytearray()
        stream = connection.newStream()
        kind = connection.lookupByName(name).screenshot(stream, 0)
        stream.recvAll(lambda _stream, piece, into: into.extend(piece), picture)
        stream.finish()
        pictures.append((kind, bytes(picture)))
    guest.resume()
    assert pictures[0] == pictures[1] and len(pictures[0][1]) > 1000, [(kind, len(picture)) for kind, picture in pictures]
    say("screenshot")


def descriptors():
    """Messages with descriptors: from libvirt, and to it."""
    with socket.socket(fileno=guest.openGraphicsFD(0)) as screen:
        screen.settimeout(LIMIT)
        assert screen.recv(12) == b"RFB 003.008\n"
    ours, theirs = socket.socketpair()
    with ours, theirs:
        guest.openGraphics(0, theirs.fileno(), libvirt.VIR_DOMAIN_OPEN_GRAPHICS_SKIPAUTH)
        theirs.close()
        ours.settimeout(LIMIT)
        assert ours.recv(12) == b"RFB 003.008\n"
    if hasattr(guest, "FDAssociate"):
        with open(os.path.join(folder, "given"), "w+b") as one, open("/dev/null", "rb") as other:
            guest.FDAssociate("given", [one.fileno(), other.fileno()])
    say("descriptors")


def keepalive():
    # Nothing announces that a connection did not end.
    while time.monotonic() < began + 5:
        time.sleep(0.1)
        assert not closed, f"the connection ended, reason {closed}"
    assert door.isAlive() and door.getHostname() == direct.getHostname()
    say("keepalive")


calls_and_events()
errors()
many_threads()
screenshot()
streams()
if manners == "door":
    descriptors()
keepalive()
assert not closed
door.close()
