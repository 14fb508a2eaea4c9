"""A proxy, as a program of its own: HTTP CONNECT or SOCKS5, with user "me" and password "secret". It prints what it is asked
for. Names are those of the command line: python3 proxy.py http|socks PORT NAME=IP...
"""
import base64
import socket
import sys
import threading


def read(c, n):
    got = b""
    while len(got) < n:
        part = c.recv(n - len(got))
        if not part:
            raise EOFError
        got += part
    return got


def ask_http(c):
    """the host and port that are asked for, or None for the wrong password"""
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        head += read(c, 1)
    lines = head.decode().split("\r\n")
    _, at, _ = lines[0].split()
    if "Proxy-Authorization: Basic " + base64.b64encode(b"me:secret").decode() not in lines:
        c.sendall(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")
        return None
    host, port = at.rsplit(":", 1)
    return host, int(port)


def ask_socks(c):
    read(c, read(c, 2)[1])
    c.sendall(b"\x05\x02")
    user = read(c, read(c, 2)[1])
    password = read(c, read(c, 1)[0])
    if (user, password) != (b"me", b"secret"):
        c.sendall(b"\x01\x01")
        return None
    c.sendall(b"\x01\x00")
    kind = read(c, 4)[3]
    host = read(c, read(c, 1)[0]).decode() if kind == 3 else socket.inet_ntop(*(
        (socket.AF_INET, read(c, 4)) if kind == 1 else (socket.AF_INET6, read(c, 16))))
    return host, int.from_bytes(read(c, 2), "big")


def copy(a, b):
    try:
        while data := a.recv(65536):
            b.sendall(data)
    except OSError:
        pass
    for s in (a, b):
        try:
            s.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass


def serve(c, socks, names):
    try:
        at = ask_socks(c) if socks else ask_http(c)
        if at is None:
            print("wrong password", flush=True)
            return c.close()
        print(f"asked for {at[0]} port {at[1]}", flush=True)
        out = socket.create_connection((names.get(at[0], at[0]), at[1]), 5)
        out.settimeout(None)
    except (OSError, EOFError, ValueError) as e:
        print("failed", e, flush=True)
        try:
            c.sendall(b"\x05\x04\x00\x01" + bytes(6) if socks else b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n")
        except OSError:
            pass
        return c.close()
    c.sendall(b"\x05\x00\x00\x01" + bytes(6) if socks else b"HTTP/1.1 200 Connection established\r\n\r\n")
    threading.Thread(target=copy, args=(c, out), daemon=True).start()
    copy(out, c)
    c.close()
    out.close()


def main(kind, port, *names):
    names = dict(n.split("=") for n in names)
    listener = socket.create_server(("", int(port)), backlog=128)
    print("ready", flush=True)
    while True:
        c, _ = listener.accept()
        threading.Thread(target=serve, args=(c, kind == "socks", names), daemon=True).start()


if __name__ == "__main__":
    main(*sys.argv[1:])
