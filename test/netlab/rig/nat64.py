"""A translator between IPv6 and IPv4 (RFC 6146) with a pool of one address, for TCP, UDP and ping: a program of its own.

It opens the interface nat64 of its namespace. Routes lead 64:ff9b::/96 and the IPv4 address into it. args: IPv4 address
"""
import fcntl
import ipaddress
import os
import struct
import sys

TUNSETIFF, IFF_TUN, IFF_NO_PI = 0x400454CA, 1, 0x1000
PREFIX = ipaddress.ip_address("64:ff9b::").packed[:12]
TCP, UDP = 6, 17


def checksum(data):
    if len(data) % 2:
        data += b"\0"
    s = sum(struct.unpack(f">{len(data) // 2}H", data))
    while s >> 16:
        s = (s & 0xFFFF) + (s >> 16)
    return ~s & 0xFFFF


def transport(proto, segment, ports, pseudo):
    """the segment with other ports, and a checksum for other addresses"""
    at = 16 if proto == TCP else 6
    s = bytearray(segment)
    s[0:4] = struct.pack(">HH", *ports)
    s[at:at + 2] = b"\0\0"
    s[at:at + 2] = struct.pack(">H", checksum(pseudo + s) or 0xFFFF)
    return bytes(s)


def main(pool):
    pool = ipaddress.ip_address(pool).packed
    tun = os.open("/dev/net/tun", os.O_RDWR)
    fcntl.ioctl(tun, TUNSETIFF, struct.pack("16sH", b"nat64", IFF_TUN | IFF_NO_PI))
    print("ready", flush=True)
    out, back, free = {}, {}, iter(range(20000, 60000))  # (protocol, host, port) -> port, and the way back
    while True:
        p = os.read(tun, 65536)
        if p[0] >> 4 == 6:
            proto, src, dst, seg = p[6], p[8:24], p[24:40], p[40:]
            if proto not in (TCP, UDP) or dst[:12] != PREFIX:
                continue
            sport, dport = struct.unpack(">HH", seg[:4])
            flow = (proto, src, sport)
            if flow not in out:
                out[flow] = next(free)
                back[proto, out[flow]] = (src, sport)
            to = dst[12:]
            seg = transport(proto, seg, (out[flow], dport), pool + to + struct.pack(">HH", proto, len(seg)))
            head = struct.pack(">BBHHHBBH", 0x45, 0, 20 + len(seg), 0, 0x4000, 63, proto, 0) + pool + to
            head = head[:10] + struct.pack(">H", checksum(head)) + head[12:]
        else:
            proto, src, seg = p[9], p[12:16], p[(p[0] & 15) * 4:]
            if proto not in (TCP, UDP):
                continue
            sport, dport = struct.unpack(">HH", seg[:4])
            if (proto, dport) not in back:
                continue
            to, port = back[proto, dport]
            frm = PREFIX + src
            seg = transport(proto, seg, (sport, port), frm + to + struct.pack(">IHBB", len(seg), 0, 0, proto))
            head = struct.pack(">IHBB", 6 << 28, len(seg), proto, 63) + frm + to
        try:
            os.write(tun, head + seg)
        except OSError as e:
            print("lost", e, flush=True)


main(*sys.argv[1:])
