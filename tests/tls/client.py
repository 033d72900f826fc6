"""A provider in Python: the API over TLS by the standard library alone, the WebSocket by hand.

client.py PORT CA CERTIFICATE KEY get PATH       prints status and body
client.py PORT CA CERTIFICATE KEY session        prints every message, and at last {"closed": CODE, "reason": TEXT}
client.py PORT CA CERTIFICATE KEY idle           prints "in" after the handshake, "out" when the agent closes
"""

import base64
import json
import os
import socket
import ssl
import struct
import sys


def connect(port, ca, certificate, key):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.load_verify_locations(ca)
    context.load_cert_chain(certificate, key)
    plain = socket.create_connection(("127.0.0.1", int(port)), timeout=60)
    return context.wrap_socket(plain, server_hostname="localhost")


def say(value):
    print(json.dumps(value), flush=True)


def head(stream):
    lines = []
    while (line := stream.readline().strip()):
        lines.append(line.decode())
    return lines


def get(tls, path):
    tls.sendall(f"GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n".encode())
    stream = tls.makefile("rb")
    status = int(head(stream)[0].split(" ")[1])
    say({"status": status, "body": json.loads(stream.read())})


def session(tls):
    nonce = base64.b64encode(os.urandom(16)).decode()
    tls.sendall(
        "GET /v1/session HTTP/1.1\r\nhost: localhost\r\nconnection: upgrade\r\nupgrade: websocket\r\n"
        f"sec-websocket-version: 13\r\nsec-websocket-key: {nonce}\r\n\r\n".encode()
    )
    stream = tls.makefile("rb")
    lines = head(stream)
    if " 101 " not in lines[0]:
        say({"refused": lines[0]})
        return
    subscribe = json.dumps({"type": "subscribe", "after": 0}).encode()
    mask = os.urandom(4)
    masked = bytes(byte ^ mask[place % 4] for place, byte in enumerate(subscribe))
    tls.sendall(bytes([0x81, 0x80 | len(subscribe)]) + mask + masked)
    while True:
        first = stream.read(2)
        if len(first) < 2:
            say({"closed": 0, "reason": "the connection ended"})
            return
        length = first[1] & 0x7F
        if length == 126:
            (length,) = struct.unpack(">H", stream.read(2))
        elif length == 127:
            (length,) = struct.unpack(">Q", stream.read(8))
        payload = stream.read(length)
        kind = first[0] & 0x0F
        if kind == 8:
            say({"closed": struct.unpack(">H", payload[:2])[0], "reason": payload[2:].decode()})
            return
        if kind == 1:
            say(json.loads(payload))


def idle(tls):
    say("in")
    while tls.recv(4096):
        pass
    say("out")


def main():
    port, ca, certificate, key, what = sys.argv[1:6]
    try:
        with connect(port, ca, certificate, key) as tls:
            if what == "get":
                get(tls, sys.argv[6])
            elif what == "session":
                session(tls)
            else:
                idle(tls)
    except (OSError, IndexError) as error:
        say({"failed": type(error).__name__, "why": str(error)})


main()
