"""A name server for the lab: answers A and AAAA questions from a file of lines "name address", read anew for each. Without the file it is silent.

args: address to listen on, file
"""
import os
import socket
import struct
import sys


def main():
    ip, path = sys.argv[1:]
    s = socket.socket(socket.AF_INET6 if ":" in ip else socket.AF_INET, socket.SOCK_DGRAM)
    s.bind((ip, 53))
    print("ready", flush=True)
    while True:
        q, who = s.recvfrom(1500)
        if not os.path.exists(path):
            continue
        at, labels = 12, []
        while q[at]:
            labels.append(q[at + 1:at + 1 + q[at]].decode())
            at += 1 + q[at]
        kind = struct.unpack(">H", q[at + 1:at + 3])[0]
        with open(path) as f:
            zone = [line.split() for line in f]
        ips = [ip for name, ip in zone if name == ".".join(labels).lower()]
        flags = 0x8180 if ips else 0x8183
        ips = [ip for ip in ips if kind == (28 if ":" in ip else 1)]
        out = q[:2] + struct.pack(">HHHHH", flags, 1, len(ips), 0, 0) + q[12:at + 5]
        for ip in ips:
            data = socket.inet_pton(socket.AF_INET if kind == 1 else socket.AF_INET6, ip)
            out += struct.pack(">HHHIH", 0xC00C, kind, 1, 1, len(data)) + data
        s.sendto(out, who)


main()
